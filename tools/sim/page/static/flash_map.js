// The flash, a cell for each sector, grouped by area.

import { text } from "./texts.js";

const FADE_MS = 2500;

export class FlashMap {
  // areas: [name, first sector, count]; chosen(sector) is called when a cell is chosen.
  constructor(element, areas, chosen) {
    this.cells = [];
    this.chosen = chosen;
    this.selected = null;
    this.states = "";
    this.timers = new Map();
    this.element = element;
    element.dataset.arrows = "";
    for (const [name, first, count] of areas) {
      const group = document.createElement("div");
      group.className = `area area-${name} span-${Math.min(count, 16)}`;
      const label = document.createElement("span");
      label.dataset.t = `short_${name}`;
      group.append(label);
      for (let sector = first; sector < first + count; sector++) {
        group.append(this.makeCell(sector, name));
      }
      element.append(group);
    }
    this.cells[0].tabIndex = 0;
    element.addEventListener("keydown", (event) => this.move(event));
  }

  makeCell(sector, area) {
    const cell = document.createElement("button");
    cell.type = "button";
    cell.className = "cell";
    cell.tabIndex = -1;
    cell.dataset.sector = sector;
    cell.dataset.area = area;
    cell.addEventListener("click", () => this.select(sector));
    this.cells[sector] = cell;
    return cell;
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const at = this.cells.indexOf(event.target.closest(".cell"));
      const next = this.cells[(at + step + this.cells.length) % this.cells.length];
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  }

  select(sector) {
    this.cells[this.selected]?.removeAttribute("aria-pressed");
    this.selected = sector;
    this.cells[sector].setAttribute("aria-pressed", "true");
    this.chosen(sector);
  }

  show(states) {
    this.states = states;
    this.cells.forEach((cell, sector) => {
      cell.classList.toggle("used", states[sector] !== ".");
      cell.classList.toggle("wrong", states[sector] === "!");
    });
    this.label();
  }

  // One operation: the cell lights up, then fades.
  touch(kind, sector) {
    const cell = this.cells[sector];
    const name = { program: "written", erase: "erased", flip: "flipped", load: "written" }[kind];
    cell.classList.remove("written", "erased", "flipped");
    void cell.offsetWidth; // so that the animation starts over
    cell.classList.add(name);
    if (kind === "program" || kind === "load") {
      cell.classList.add("used");
    } else if (kind === "erase") {
      cell.classList.remove("used", "wrong");
    }
    clearTimeout(this.timers.get(sector));
    this.timers.set(sector, setTimeout(() => cell.classList.remove(name), FADE_MS));
  }

  stateText(sector) {
    return text({ ".": "blank", "#": "used", "!": "wrong" }[this.states[sector]]);
  }

  describe(sector) {
    const area = text(`area_${this.cells[sector].dataset.area}`);
    return text("sector_is", { sector, area, state: this.stateText(sector) });
  }

  label() {
    this.cells.forEach((cell, sector) => {
      const label = this.describe(sector);
      cell.setAttribute("aria-label", label);
      cell.title = label;
    });
  }
}
