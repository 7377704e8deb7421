/** Elements in one call, and the few pieces that every screen is made of. No markup from strings. */

export type Child = Node | string | null | false;

type Properties = Readonly<Record<string, string | number | boolean | ((event: Event) => void) | null | undefined>>;

/** on… functions are listeners; true and false set or leave out an attribute; the rest are attributes. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") {
      element.addEventListener(key.slice(2), value);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

const PATHS = {
  good: "M4 13 L10 19 L21 6",
  bad: "M12 3 L22.5 21 H1.5 Z M12 9.5 V14.5 M12 17.3 V18.2",
  wait: "M12 2.5 A9.5 9.5 0 1 1 11.99 2.5 M12 7 V12.5 L15.5 15",
  lock: "M5 11 H19 V21 H5 Z M8 11 V7.5 A4 4 0 0 1 16 7.5 V11",
  none: "M12 2.5 A9.5 9.5 0 1 1 11.99 2.5 M12 7.2 V8 M12 11 V17",
  next: "M9 5 L16 12 L9 19",
  later: "M12 2.5 A9.5 9.5 0 1 1 11.99 2.5",
  stays: "M5 9.5 H19 M5 14.5 H19",
  back: "M15 5 L8 12 L15 19",
} as const;
export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

export type Tone = "good" | "bad" | "wait" | "lock" | "none";

/** What the user has to know: an icon, a heading, a sentence. */
export function notice(tone: Tone, title: string, ...how: readonly Child[]): HTMLElement {
  return h(
    "div",
    { class: `notice ${tone}` },
    icon(tone),
    h("div", {}, h("p", { class: "notice-title" }, title), ...how.map((child) => child && h("p", {}, child))),
  );
}

/** The same, read out at once. */
export function alarm(title: string, ...how: readonly Child[]): HTMLElement {
  const element = notice("bad", title, ...how);
  element.setAttribute("role", "alert");
  return element;
}

export function button(
  label: string,
  onclick: () => void,
  kind: "primary" | "plain" | "danger" = "plain",
): HTMLElement {
  return h("button", { type: "button", class: `button ${kind}`, onclick }, label);
}

export function facts(...rows: readonly (readonly [string, Child] | null)[]): HTMLElement {
  return h(
    "dl",
    { class: "facts" },
    ...rows.map((row) => row && h("div", {}, h("dt", {}, row[0]), h("dd", {}, row[1]))),
  );
}

/** A progress bar without an end. The app reads its words out. */
export function working(words: string): HTMLElement {
  return h("div", { class: "working" }, h("progress", { "aria-label": words }), h("p", {}, words));
}
