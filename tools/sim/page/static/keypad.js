// The keys, under mouse, finger, Tab and the computer's keyboard.

import { text } from "./texts.js";

// Code and what is printed below the digit, as the keypad of the board has it.
const CAPS = [
  ["1", "あ"], ["2", "か ABC"], ["3", "さ DEF"], ["U", ""],
  ["4", "た GHI"], ["5", "な JKL"], ["6", "は MNO"], ["D", ""],
  ["7", "ま PQRS"], ["8", "や TUV"], ["9", "ら WXYZ"], ["L", ""],
  ["*", "カ⇄A⇄1"], ["0", "わ ー"], ["#", "゛゜小"], ["R", ""],
  ["O", ""], ["B", ""],
];
const ARROWS = { U: "M12 6 4 16h16z", D: "M12 18 4 8h16z", L: "M6 12 16 4v16z", R: "M18 12 8 4v16z" };
const KEYBOARD = {
  ArrowUp: "U", ArrowDown: "D", ArrowLeft: "L", ArrowRight: "R",
  Enter: "O", Backspace: "B", Escape: "B",
};

// What is held so long is told to be down once more: the house keeps it down only then, so that a click of which it hears
// the end late does not become a key that repeats.
const HELD_MS = 300;

export class Keypad {
  // send(code, down)
  constructor(element, send) {
    this.send = send;
    this.buttons = new Map();
    this.held = new Map(); // what holds a key (a pointer's id, a physical key) and which
    this.timers = new Map(); // by the same
    for (const [code, below] of CAPS) {
      const button = this.makeButton(code, below);
      this.buttons.set(code, button);
      element.append(button);
    }
    addEventListener("click", (event) => {
      if (event.detail > 0) {
        // What was clicked by a pointer does not keep Enter for itself: it means OK again.
        event.target.closest?.("a, button")?.blur();
      }
    });
    addEventListener("keydown", (event) => this.keyDown(event));
    addEventListener("keyup", (event) => this.release(`key ${event.code}`));
    for (const name of ["pointerup", "pointercancel"]) {
      addEventListener(name, (event) => this.release(`pointer ${event.pointerId}`));
    }
    addEventListener("blur", () => [...this.held.keys()].forEach((holder) => this.release(holder)));
  }

  makeButton(code, below) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "key";
    button.dataset.key = code;
    if (code in ARROWS) {
      button.classList.add("arrow");
      button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ARROWS[code]}"/></svg>`;
    } else if (code === "O" || code === "B") {
      button.classList.add(code === "O" ? "ok" : "back");
    } else {
      button.innerHTML = `<b>${code}</b><small aria-hidden="true">${below}</small>`;
    }
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) {
        event.preventDefault(); // the keyboard goes on meaning the module, not this key
        this.hold(`pointer ${event.pointerId}`, code);
      }
    });
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", (event) => {
      if (event.detail === 0) {
        // Without a pointer: a screen reader, or a click by script.
        this.hold("click", code);
        this.release("click");
      }
    });
    return button;
  }

  label() {
    for (const [code, button] of this.buttons) {
      const name = text(`key_${code}`);
      if (code === "O" || code === "B") {
        button.textContent = name;
      } else {
        button.setAttribute("aria-label", name || code);
      }
    }
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
      return;
    }
    const target = event.target;
    const onKey = target.closest?.(".key");
    const activates = event.key === "Enter" || event.key === " ";
    const moves = event.key.startsWith("Arrow");
    if (
      target.closest?.("select, input, textarea") ||
      (activates && !onKey && target.closest?.("a, button")) ||
      (moves && target.closest?.("[role=log], [data-arrows]"))
    ) {
      return; // theirs
    }
    let code = KEYBOARD[event.key] ?? (this.buttons.has(event.key) && /[0-9*#]/.test(event.key) ? event.key : null);
    if (onKey && activates) {
      code = onKey.dataset.key;
    }
    if (code === null) {
      return;
    }
    event.preventDefault();
    if (!event.repeat) {
      this.hold(`key ${event.code}`, code);
    }
  }

  hold(holder, code) {
    if (this.held.has(holder) || [...this.held.values()].includes(code)) {
      return;
    }
    this.held.set(holder, code);
    this.buttons.get(code).classList.add("down");
    this.send(code, true);
    this.timers.set(holder, setTimeout(() => this.send(code, true), HELD_MS));
  }

  release(holder) {
    const code = this.held.get(holder);
    if (code !== undefined) {
      this.held.delete(holder);
      clearTimeout(this.timers.get(holder));
      this.buttons.get(code).classList.remove("down");
      this.send(code, false);
    }
  }
}
