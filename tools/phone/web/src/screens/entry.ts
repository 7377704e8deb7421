/** A field's new value, checked as it is typed: label, how, input, what is said of it. */

import type { App } from "../app";
import { type Child, h } from "../dom";
import { type Field, SITE_ID, check, inGroups, narrow, shown } from "../fields";
import type { Key } from "../i18n";
import type { FieldReason } from "../protocol/messages";

/** Lives outside of the screen, which is made anew at any time. */
export interface Typed {
  text: string;
  /** It was tried to go on with it: what is merely not complete is said too. */
  insisted: boolean;
  /** What is wrong for another reason than the field's own check. */
  fault: Key | null;
}

export function newTyped(text: string): Typed {
  return { text, insisted: false, fault: null };
}

/** id: of the input; old: the field's value now, undefined where it is not known. */
export function entry(
  app: App,
  field: Field,
  typed: Typed,
  id: string,
  label: string,
  old: string | undefined,
  ...hints: readonly Child[]
): HTMLElement {
  const how = `${id}-how`;
  const told = h("p", { id: `${id}-told`, class: "told", role: "status" });
  const input = editor(field, typed.text, { id, "aria-describedby": `${how} ${told.id}` });

  function tell(): void {
    const checked = check(field.id, typed.text);
    const reason = "reason" in checked ? checked.reason : null;
    // What is merely not complete yet is no error while it is typed.
    const partly = reason === "empty" || reason === "too_short";
    const bad = typed.fault !== null || (reason !== null && (typed.insisted || !partly));
    input.setAttribute("aria-invalid", String(bad));
    told.classList.toggle("bad", bad);
    told.classList.toggle("good", !bad && reason === null);
    if (typed.fault !== null) {
      told.textContent = app.say(typed.fault);
    } else if ("reason" in checked) {
      told.textContent = bad ? reasonText(app, field, checked.reason, typed.text) : countText(app, field, typed.text);
    } else if (checked.value === old) {
      told.textContent = app.say("field.same");
    } else {
      told.textContent = app.say("field.ok", { value: shown(field.id, checked.value) });
    }
  }

  input.addEventListener("input", () => {
    typed.text = field.kind === "text" ? input.value : narrow(input.value);
    typed.insisted = false;
    typed.fault = null;
    tell();
  });
  tell();
  return h(
    "div",
    { class: "entry" },
    h("label", { for: id }, label),
    h("p", { id: how, class: "hint" }, howText(app, field), ...hints),
    input,
    told,
  );
}

function editor(
  field: Field,
  text: string,
  named: Readonly<Record<"id" | "aria-describedby", string>>,
): HTMLInputElement | HTMLTextAreaElement {
  const properties = { ...named, autocomplete: "off", spellcheck: "false" };
  if (field.kind === "text" && field.most > 40) {
    const area = h("textarea", { ...properties, rows: 3 });
    area.value = text;
    // One line in the end: Enter is no character of any field.
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        area.form?.requestSubmit();
      }
    });
    return area;
  }
  const digits = field.kind === "digits" || field.kind === "number";
  const input = h("input", {
    ...properties,
    class: digits ? (field.most === 22 ? "digits long" : "digits") : field.kind === "code" ? "code" : null,
    inputmode: digits ? "numeric" : "text",
    autocapitalize: field.kind === "code" ? "characters" : "off",
  });
  input.value = text;
  return input;
}

function howText(app: App, field: Field): string {
  const limits = { least: field.least, most: field.most.toLocaleString("en"), unit: field.unit ?? "" };
  if (field.id === SITE_ID) {
    return app.say("field.site_how");
  }
  return app.say(`field.${field.kind}_how` as Key, limits);
}

function countText(app: App, field: Field, text: string): string {
  if (field.kind === "number" || !text) {
    return "";
  }
  const value = field.kind === "text" ? text.trim() : text.replace(/[^0-9A-Za-z-]/g, "");
  const count = app.say("field.count", { n: [...value].length, most: field.most });
  return field.digitGroups ? `${inGroups(value, field.digitGroups)} (${count})` : count;
}

/** Why a value does not fit its field, in words. */
export function reasonText(app: App, field: Field, reason: FieldReason, text: string): string {
  const size = [...text.replace(/[-\s]/g, "")].length;
  return app.say(`reason.${reason}`, {
    least: field.least.toLocaleString("en"),
    most: field.most.toLocaleString("en"),
    missing: Math.max(field.least - size, 1),
    per: app.say(field.kind === "digits" ? "per.digits" : "per.characters"),
  });
}
