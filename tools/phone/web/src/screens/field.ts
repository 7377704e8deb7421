/** One field: its value now, a new one with checks as it is typed, and the way to delete it. */

import type { App, Render } from "../app";
import { button, facts, h } from "../dom";
import { type Field, SITE_ID, check, fieldOf, inGroups, narrow, shown } from "../fields";
import { type Key, fieldName } from "../i18n";
import { type FieldReason, type Group, allows } from "../protocol/messages";
import { group, valueOf } from "./group";
import { remove } from "./remove";

export function field(app: App, id: number, refusal: FieldReason | null = null): Render {
  const number = (id >> 4) as Group;
  const entry = fieldOf(id)!;
  const values = app.values.get(number) ?? null;
  const old = values?.get(id);
  let typed = app.edits.get(id) ?? old ?? "";
  let reason = refusal;
  let insisted = refusal !== null;

  function keep(): void {
    const checked = check(id, typed);
    if ("reason" in checked) {
      reason = checked.reason;
      insisted = true;
      app.draw();
      document.querySelector<HTMLElement>("#value")?.focus();
      return;
    }
    if (checked.value === old) {
      app.edits.delete(id);
    } else {
      app.edits.set(id, checked.value);
    }
    app.show(group(app, number));
  }

  return () => {
    const { status } = app.session!;
    const back = (): void => app.show(group(app, number));
    const mayChange = allows(status.change, number);
    const mayDelete = allows(status.delete, number) && old !== "";
    const told = h("p", { id: "told", class: "told", role: "status" });
    const input = editor(entry, typed);

    function tell(): void {
      const checked = check(id, typed);
      reason = "reason" in checked ? checked.reason : null;
      // What is merely not complete yet is no error while it is typed.
      const bad = reason !== null && (insisted || (reason !== "empty" && reason !== "too_short"));
      input.setAttribute("aria-invalid", String(bad));
      told.classList.toggle("bad", bad);
      told.classList.toggle("good", reason === null);
      told.textContent =
        "reason" in checked
          ? bad
            ? reasonText(app, entry, checked.reason, typed)
            : countText(app, entry, typed)
          : checked.value === old
            ? app.say("field.same")
            : app.say("field.ok", { value: shown(id, checked.value) });
    }

    input.addEventListener("input", () => {
      typed = entry.kind === "text" ? input.value : narrow(input.value);
      insisted = false;
      tell();
    });
    tell();
    if (refusal !== null && insisted) {
      told.classList.add("bad");
      told.textContent = reasonText(app, entry, refusal, typed);
    }
    return {
      title: fieldName(id),
      back,
      content: [
        facts([app.say("field.now"), valueOf(app, id, values)]),
        mayChange &&
          h(
            "form",
            {
              novalidate: true,
              onsubmit: (event) => {
                event.preventDefault();
                keep();
              },
            },
            h(
              "div",
              { class: "entry" },
              h("label", { for: "value" }, app.say("field.new")),
              h("p", { id: "how", class: "hint" }, howText(app, entry)),
              input,
              told,
            ),
            h(
              "div",
              { class: "actions" },
              h("button", { type: "submit", class: "button primary" }, app.say("field.keep")),
            ),
          ),
        h(
          "div",
          { class: "actions" },
          mayDelete && button(app.say("field.delete"), () => app.show(remove(app, number, [id])), "danger"),
          button(app.say("app.cancel"), back),
        ),
      ],
    };
  };
}

function editor(entry: Field, typed: string): HTMLInputElement | HTMLTextAreaElement {
  const properties = { id: "value", autocomplete: "off", spellcheck: "false", "aria-describedby": "how told" };
  if (entry.kind === "text" && entry.most > 40) {
    const area = h("textarea", { ...properties, rows: 3 });
    area.value = typed;
    // One line in the end: Enter is no character of any field.
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        area.form?.requestSubmit();
      }
    });
    return area;
  }
  const digits = entry.kind === "digits" || entry.kind === "number";
  const input = h("input", {
    ...properties,
    class: digits ? (entry.most === 22 ? "digits long" : "digits") : entry.kind === "code" ? "code" : null,
    inputmode: digits ? "numeric" : "text",
    autocapitalize: entry.kind === "code" ? "characters" : "off",
  });
  input.value = typed;
  return input;
}

function howText(app: App, entry: Field): string {
  const limits = { least: entry.least, most: entry.most.toLocaleString("en"), unit: entry.unit ?? "" };
  if (entry.id === SITE_ID) {
    return app.say("field.site_how");
  }
  return app.say(`field.${entry.kind}_how` as Key, limits);
}

function countText(app: App, entry: Field, typed: string): string {
  if (entry.kind === "number" || !typed) {
    return "";
  }
  const value = entry.kind === "text" ? typed.trim() : typed.replace(/[^0-9A-Za-z-]/g, "");
  const count = app.say("field.count", { n: [...value].length, most: entry.most });
  return entry.digitGroups ? `${inGroups(value, entry.digitGroups)} (${count})` : count;
}

/** Why a value does not fit its field, in words. */
export function reasonText(app: App, entry: Field, reason: FieldReason, typed: string): string {
  const size = [...typed.replace(/[-\s]/g, "")].length;
  return app.say(`reason.${reason}`, {
    least: entry.least.toLocaleString("en"),
    most: entry.most.toLocaleString("en"),
    missing: Math.max(entry.least - size, 1),
    per: app.say(entry.kind === "digits" ? "per.digits" : "per.characters"),
  });
}
