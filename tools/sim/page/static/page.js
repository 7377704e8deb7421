// The page: what the house tells goes to its place, what is done here goes to the house.

import { FlashMap } from "./flash_map.js";
import { Keypad } from "./keypad.js";
import { Lcd } from "./lcd.js";
import { fillTexts, firstLanguage, language, setLanguage, text, word } from "./texts.js";

const AREAS = [
  ["root", 0, 2], ["guard", 2, 2], ["vault", 4, 8], ["credential", 12, 2], ["factory", 14, 2],
  ["identity", 16, 4], ["settings", 20, 2], ["attempts", 22, 4], ["clock", 26, 4],
  ["provisioned", 46, 1], ["free", 47, 1], ["audit", 30, 16], ["readings", 48, 144],
];
const FLIP_AREAS = ["vault", "guard", "root", "credential", "identity", "attempts", "clock", "audit"];
const STEPS = [
  "issue", "arrive", "unlock", "change", "connect", "delete", "phone", "relay", "cut", "flip", "tampered", "recover",
  "old",
];
const LOG_LINES = 150;
const RETRY_MS = 1000;

const $ = (id) => document.getElementById(id);
const state = { letters: [], story: [], findings: [], rows: [] };
const events = [];
let socket = null;
let newLetters = 0;

const lcd = new Lcd($("lcd"));
const keypad = new Keypad($("keypad"), (code, down) => send({ do: "key", code, down }));
const map = new FlashMap($("map"), AREAS, showSector);

// What tests ask.
window.house = { state, events, lcdFrame: () => lcd.readBack() };

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify(message));
  }
}

function make(name, content, className) {
  const element = document.createElement(name);
  element.textContent = content ?? "";
  element.className = className ?? "";
  return element;
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/feed`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    $("lost").hidden = true;
    events.length = 0;
    $("log").replaceChildren();
  };
  socket.onmessage = ({ data }) => (data instanceof ArrayBuffer ? lcd.show(new Uint8Array(data)) : take(JSON.parse(data)));
  socket.onclose = () => {
    $("lost").hidden = false;
    setTimeout(connect, RETRY_MS);
  };
}

function take(message) {
  if (message.state) {
    Object.assign(state, message.state);
    show(message.state);
  }
  for (const [kind, sector] of message.ops ?? []) {
    map.touch(kind, sector);
  }
  for (const event of message.events ?? []) {
    events.push(event);
    addToLog(event);
  }
}

// What there is to see

function show(parts) {
  const has = (...names) => names.some((name) => name in parts);
  if (has("powered", "running", "joined", "plugged", "phone_near", "sound", "cut_armed", "has_image", "generation")) {
    showCondition();
  }
  if (has("sectors")) {
    map.show(state.sectors);
    if (map.selected !== null) {
      showSector(map.selected);
    }
  }
  if (has("findings")) {
    showFindings();
  }
  if (has("rows", "powered")) {
    showLcdText();
  }
  if (has("letters")) {
    showLetters();
  }
  if (has("story", "serial")) {
    showStory();
  }
  if (has("label", "serial", "console", "on_the_air")) {
    showPapers();
  }
}

function showCondition() {
  const { powered, joined, sound, plugged, phone_near: near } = state;
  lcd.setBacklight(powered);
  $("device").classList.toggle("powered", powered);
  chip("chip-power", powered, powered ? "chip_powered" : "chip_unpowered");
  chip("chip-network", joined, joined ? "chip_joined" : "chip_alone");
  const alarm = sound === false;
  chip("chip-seal", !alarm, alarm ? "chip_unsound" : "chip_sound", alarm);
  $("led-power").classList.toggle("on", powered);
  $("led-network").classList.toggle("on", powered && joined);
  $("led-alarm").classList.toggle("on", powered && alarm);
  $("breaker").setAttribute("aria-pressed", String(powered));
  $("breaker").setAttribute("aria-label", `${text("breaker")} ${text(powered ? "on" : "off")}`);
  $("breaker-text").textContent = text(powered ? "on" : "off");
  $("do-power").textContent = text(powered ? "cut_power" : "restore_power");
  $("do-power").classList.toggle("primary", !powered);
  $("do-cut").textContent = text(state.cut_armed ? "cut_armed" : "cut_next");
  $("do-cut").disabled = !powered || state.cut_armed;
  $("do-cut").classList.toggle("armed", state.cut_armed);
  $("do-network").textContent = text(plugged ? "unplug" : "plug");
  $("do-network").classList.toggle("primary", !plugged);
  $("phone-state").textContent = near ? "" : text("phone_is_away");
  $("do-phone").textContent = text(near ? "carry_away" : "bring_back");
  $("do-phone").classList.toggle("armed", !near);
  $("do-play-back").disabled = !state.has_image;
  $("map-state").textContent = text(alarm ? "map_unsound" : "map_sound", { generation: state.generation });
  $("map-state").classList.toggle("bad", alarm);
}

function chip(id, good, key, bad = false) {
  const element = $(id);
  element.textContent = text(key);
  element.className = `chip ${bad ? "bad" : good ? "good" : "quiet"}`;
}

function showLcdText() {
  const rows = state.rows.filter((row) => row);
  let words = rows.join("\n");
  if (!state.powered) {
    words = text("lcd_off");
  } else if (!rows.length) {
    words = text("lcd_blank");
  }
  $("lcd").setAttribute("aria-label", words.replaceAll("\n", " / "));
  $("lcd-text").textContent = words;
}

function showSector(sector) {
  const line = $("sector");
  line.textContent = `${map.describe(sector)} `;
  const button = make("button", text("flip_here"), "button small danger");
  button.type = "button";
  button.disabled = state.sectors?.[sector] === ".";
  button.addEventListener("click", () => send({ do: "flip_bit", sector }));
  line.append(button);
}

function showFindings() {
  const lines = state.findings.map(({ area, sector, what, grave }) => {
    const line = make("li", "", grave ? "grave" : "");
    line.append(make("b", `${text(`area_${area}`)} ${sector}`), ` ${what}`);
    return line;
  });
  $("findings").replaceChildren(...lines);
}

function showLetters() {
  const letters = state.letters.map((letter) => {
    const item = make("li");
    const head = make("p", `${text(letter.channel)} · ${letter.to} · ${clock(letter.at)}`, "letter-head");
    item.append(head, withLinks(letter.text));
    return item;
  });
  $("letters").replaceChildren(...letters.reverse());
  $("no-letters").hidden = letters.length > 0;
  if (letters.length > newLetters) {
    $("letters").firstElementChild.classList.add("new");
  }
  newLetters = letters.length;
}

// A message's text, the link in it to be followed in a new tab.
function withLinks(words) {
  const element = make("pre");
  for (const part of words.split(/(https:\/\/\S+)/)) {
    if (part.startsWith("https://")) {
      const link = make("a", part);
      link.href = part;
      link.target = "_blank";
      link.rel = "noopener";
      element.append(link);
    } else {
      element.append(part);
    }
  }
  return element;
}

function showStory() {
  const next = STEPS.find((step) => !state.story.includes(step));
  const items = STEPS.map((step) => {
    const done = state.story.includes(step);
    const item = make("li", "", done ? "done" : step === next ? "next" : "");
    const head = make("h3", text(`step_${step}`));
    if (done) {
      head.append(make("span", ` (${text("done")})`, "unseen"));
    }
    item.append(head, make("p", text(`step_${step}_how`, { serial: state.serial })));
    return item;
  });
  $("story").replaceChildren(...items);
}

function showPapers() {
  $("serial").textContent = state.serial;
  $("front").hidden = !state.has_panel;
  $("keyboard-hint").hidden = !state.has_panel;
  $("bare").hidden = state.has_panel;
  $("bare").textContent = text("bare", { path: state.serial_line });
  $("label-id").textContent = digits(state.label?.id);
  $("label-password").textContent = digits(state.label?.password);
  $("link-console").href = `${state.console.url}modules/${state.serial}`;
  $("link-outbox").href = `${state.console.url}outbox`;
  $("link-phone").href = state.on_the_air ? "/phone/" : "/phone/#radio";
  $("do-phone").hidden = state.on_the_air;
  $("operator-name").textContent = state.console.name;
  $("operator-password").textContent = state.console.password;
}

function digits(number) {
  return number ? number.replace(/(.{4})(?=.)/g, "$1 ") : "–";
}

function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString(language(), { hour12: false });
}

// The log

function addToLog(event) {
  const words = eventText(event);
  if (!words) {
    return;
  }
  const item = make("li", "", `event ${eventClass(event.kind)}`);
  item.append(make("time", clock(event.at)), make("span", words));
  $("log").prepend(item);
  while ($("log").children.length > LOG_LINES) {
    $("log").lastElementChild.remove();
  }
}

function eventText(event) {
  if (event.kind === "flash") {
    const areas = Object.entries(event.areas).map(([area, counts]) => {
      const done = ["program", "erase"].filter((kind) => counts[kind]).map((kind) => text(`event_flash_${kind}`, counts));
      return [text(`area_${area}`), ...done].join(" ");
    });
    return text("event_flash", { text: areas.join(language() === "ja" ? "、" : "; ") });
  }
  if (event.kind === "hello") {
    return text(`event_hello_${event.identity}`);
  }
  const values = { ...event };
  if (event.kind === "bit_flipped") {
    values.area = text(`area_${event.area}`);
  } else if (event.kind === "alarm") {
    values.alarm = word(event.alarm);
    values.text = Object.entries(event.detail)
      .map(([name, value]) => (Array.isArray(value) ? `${name} ${value.join("→")}` : value))
      .join(", ");
  } else if (event.kind === "alarm_over") {
    values.alarm = word(event.alarm);
  } else if (event.kind === "audit") {
    values.audit = `${event.record} ${word(event.event)}`;
    if (event.door !== "none") {
      values.audit += ` (${text(`door_${event.door}`)})`;
    }
  } else if (event.kind === "credential_ended" || event.kind === "relay_ended") {
    values.why = word(event.why);
  } else if (event.kind === "enrolment") {
    values.status = word(event.status);
  }
  return text(`event_${event.kind}`, values);
}

function eventClass(kind) {
  if (/^(power|cut|bit|image|unplugged|phone_away|stopped|alarm$)/.test(kind)) {
    return "hard";
  }
  return /^(credential|hello|audit|enrolment|alarm_over)/.test(kind) ? "server" : kind;
}

// What can be done

for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => send({ do: button.dataset.do }));
}
for (const id of ["do-power", "breaker"]) {
  $(id).addEventListener("click", () => send({ do: state.powered ? "power_off" : "power_on" }));
}
$("do-network").addEventListener("click", () => send({ do: state.plugged ? "unplug" : "plug" }));
$("do-phone").addEventListener("click", () => send({ do: state.phone_near ? "carry_phone_away" : "bring_phone_back" }));
$("do-flip").addEventListener("click", () => send({ do: "flip_bit", area: $("flip-area").value }));
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    localStorage.setItem("language", button.dataset.language);
    speak(button.dataset.language);
  });
}

function speak(name) {
  setLanguage(name);
  fillTexts();
  keypad.label();
  const chosen = $("flip-area").value || FLIP_AREAS[0];
  $("flip-area").replaceChildren(...FLIP_AREAS.map((area) => new Option(text(`area_${area}`), area)));
  $("flip-area").value = chosen;
  if (state.sectors) {
    show(state);
    map.label();
  }
  if (map.selected === null) {
    $("sector").textContent = text("sector_choose");
  }
  $("log").replaceChildren();
  events.forEach(addToLog);
}

speak(firstLanguage());
connect();
