/** What all screens share: the module, the session, the changes that wait; and which screen is shown. */

import { type Child, alarm, h, icon, notice } from "./dom";
import { type Key, type Language, type Parameters, duration, preferredLanguage, text } from "./i18n";
import type { Info } from "./protocol/info";
import type { Values } from "./protocol/messages";
import type { Session } from "./protocol/session";
import { faultText } from "./faults";
import { type Course, newCourse } from "./flows";
import { over } from "./screens/over";
import type { RelayTransport } from "./transports/relay";
import type { Transport } from "./transports/transport";

export interface Screen {
  readonly title: Key;
  readonly titleParameters?: Parameters;
  readonly content: readonly Child[];
  /** Where the way back leads; without one the screen is left by its own buttons only. */
  readonly back?: () => void;
}

/** Makes the screen in the language of the moment; what was typed lives outside of it. */
export type Render = () => Screen;

/** Where a task leads back to, and what its button says. */
export interface Home {
  readonly label: Key;
  readonly render: () => Render;
  /** The screen in which a field's new value is typed, where it is another than the field's own. */
  readonly edit?: (id: number) => Render | null;
}

export interface Carriers {
  /** WebSocket of the house's radio, where it offers one. */
  readonly radioUrl: string | null;
  readonly relay: RelayTransport | null;
}

const LANGUAGE_KEY = "language";
const SECOND_MS = 1_000;
const IDLE_WARNING_MS = 60_000;
const GOOD_NEWS_MS = 8_000;

export class App {
  transport: Transport | null = null;
  info: Info | null = null;
  session: Session | null = null;
  /** Whether a change was on its way when the session ended. */
  unanswered = false;
  readonly edits = new Map<number, string>();
  readonly values = new Map<number, Values>();
  course: Course = newCourse();
  language: Language;
  private infoMs = 0;
  private render: Render = () => ({ title: "app.title", content: [] });
  private backTo: (() => void) | undefined;
  private readonly title = h("h1", { tabindex: -1 });
  private readonly main = h("main", {});
  private readonly banner = h("div", { class: "banner", role: "status" });
  private readonly live = h("p", { class: "unseen", role: "status" });
  private readonly header = h("header", { class: "bar" });
  private readonly strip = h("section", { class: "strip" });
  private bannerState = "";
  private goodNewsUntilMs = 0;

  constructor(
    root: HTMLElement,
    readonly carriers: Carriers,
  ) {
    const stored = localStorage.getItem(LANGUAGE_KEY);
    this.language = stored === "ja" || stored === "en" ? stored : preferredLanguage(navigator.languages);
    root.append(this.header, this.strip, this.banner, this.main, this.live);
    setInterval(() => this.everySecond(), SECOND_MS);
    root.addEventListener("input", () => void this.session?.stay());
    root.addEventListener("click", () => void this.session?.stay());
    // The phone's own way back goes one screen back instead of leaving the page.
    history.pushState(null, "");
    addEventListener("popstate", () => {
      if (!location.hash.startsWith("#relay=")) {
        history.pushState(null, "");
        this.backTo?.();
      }
    });
    addEventListener("beforeunload", (event) => {
      if (this.session && this.edits.size) {
        event.preventDefault();
      }
    });
  }

  say(key: Key, parameters?: Parameters): string {
    return text(this.language, key, parameters);
  }

  duration(seconds: number, units = 2): string {
    return duration(this.language, seconds, units);
  }

  show(render: Render): void {
    this.render = render;
    this.goodNewsUntilMs = 0;
    this.draw();
    scrollTo({ top: 0, behavior: "instant" });
    this.title.focus({ preventScroll: true });
  }

  /** The same screen once more, with what has changed. */
  draw(): void {
    document.documentElement.lang = this.language;
    const focused = this.main.contains(document.activeElement) ? document.activeElement : null;
    this.drawHeader();
    const screen = this.render();
    this.backTo = screen.back;
    this.title.textContent = this.say(screen.title, screen.titleParameters);
    document.title = `${this.title.textContent} - Inkan`;
    const { back } = screen;
    this.main.replaceChildren(
      h(
        "div",
        { class: "heading" },
        back !== undefined &&
          h(
            "button",
            { type: "button", class: "back", onclick: back, "aria-label": this.say("app.back") },
            icon("back"),
          ),
        this.title,
      ),
      ...screen.content.filter((child) => child !== null && child !== false),
    );
    // The heading is still there, but has lost the focus on its way into the new content.
    if (focused && document.activeElement !== focused) {
      const same = focused.id ? document.getElementById(focused.id) : null;
      (same ?? this.title).focus({ preventScroll: true });
    }
    this.live.textContent = this.main.querySelector(".working p")?.textContent ?? "";
    this.bannerState = "?";
    this.everySecond();
  }

  /** An element whose text is made anew every second, for as long as it is shown. */
  ticking(words: () => string): HTMLElement {
    return h(
      "span",
      { class: "ticking", ontick: (event) => ((event.target as HTMLElement).textContent = words()) },
      words(),
    );
  }

  learn(info: Info): void {
    this.info = info;
    this.infoMs = performance.now();
  }

  /** Seconds that were left when the info came, less those that have passed. */
  since(seconds: number): number {
    return Math.max(Math.ceil(seconds - (performance.now() - this.infoMs) / SECOND_MS), 0);
  }

  begin(session: Session): void {
    this.session = session;
    this.edits.clear();
    this.values.clear();
    this.course = newCourse();
    this.unanswered = false;
    session.onChange = (): void => this.sessionChanged();
  }

  /** Forget the session and all that was seen in it. */
  forget(): void {
    this.session = null;
    this.edits.clear();
    this.values.clear();
    this.course = newCourse();
    this.drawHeader();
  }

  /** The words for an error, as an alarm. */
  alarmFor(error: unknown): HTMLElement {
    const [title, how] = faultText(error);
    return alarm(this.say(title), this.say(how));
  }

  private sessionChanged(): void {
    const connection = this.session?.connection;
    if (connection?.kind === "over") {
      const unsent = this.edits.size > 0;
      const perhaps = this.unanswered && connection.why !== "done";
      this.forget();
      this.show(over(this, connection.why, unsent, perhaps));
    } else {
      if (connection?.kind === "linked" && this.bannerState.startsWith("lost")) {
        this.goodNewsUntilMs = performance.now() + GOOD_NEWS_MS;
      }
      this.everySecond();
    }
  }

  private drawHeader(): void {
    const other: Language = this.language === "ja" ? "en" : "ja";
    this.header.replaceChildren(
      h("img", { src: "seal.svg", alt: "", width: 36, height: 36 }),
      this.session && this.info
        ? h("span", { class: "serial" }, this.info.serial)
        : h("span", { class: "brand" }, "Inkan"),
      h(
        "button",
        { type: "button", class: "language", lang: other, onclick: () => this.choose(other) },
        this.say("app.other_language"),
      ),
    );
    const session = this.session;
    this.strip.hidden = session === null;
    if (session) {
      const time = (): string => {
        const left = session.secondsLeft;
        return left === null ? this.say("time.none") : left ? this.duration(left, 1) : this.say("time.over");
      };
      this.strip.setAttribute("aria-label", this.say("facts.label"));
      this.strip.replaceChildren(
        h(
          "dl",
          {},
          this.fact("facts.changes", () => this.say("facts.changes_n", { n: session.status.changesLeft })),
          this.fact("facts.time", time),
          this.fact("facts.idle", () => this.duration(Math.ceil(session.idleLeftMs / SECOND_MS))),
        ),
      );
    }
  }

  private fact(key: Key, words: () => string): HTMLElement {
    return h("div", {}, h("dt", {}, this.say(key)), h("dd", {}, this.ticking(words)));
  }

  private choose(language: Language): void {
    this.language = language;
    localStorage.setItem(LANGUAGE_KEY, language);
    this.draw();
    this.header.querySelector<HTMLElement>(".language")?.focus();
  }

  private everySecond(): void {
    for (const element of document.querySelectorAll(".ticking")) {
      element.dispatchEvent(new Event("tick"));
    }
    this.drawBanner();
  }

  /** The banner changes (and is read out) only when there is something else to say. */
  private drawBanner(): void {
    const session = this.session;
    const connection = session?.connection;
    let state = "";
    if (session && connection?.kind === "lost") {
      state = `lost ${connection.attempt}`;
    } else if (session && session.idleLeftMs < IDLE_WARNING_MS) {
      state = "idle";
    } else if (performance.now() < this.goodNewsUntilMs) {
      state = "back";
    }
    if (state === this.bannerState) {
      return;
    }
    this.bannerState = state;
    this.banner.replaceChildren();
    if (connection?.kind === "lost") {
      const left = (): string =>
        this.duration(Math.max(Math.ceil((connection.untilMs - performance.now()) / SECOND_MS), 0));
      const how = this.ticking(() => this.say("lost.how", { n: connection.attempt, time: left() }));
      how.setAttribute("aria-live", "off");
      this.banner.append(notice("wait", this.say("lost.title"), how));
    } else if (state === "idle" && session) {
      const stay = h(
        "button",
        { type: "button", class: "button plain", onclick: () => void session.stay().then(() => this.drawBanner()) },
        this.say("idle.stay"),
      );
      this.banner.append(notice("wait", this.say("idle.warn"), stay));
    } else if (state === "back") {
      this.banner.append(notice("good", this.say("lost.back")));
    }
  }
}
