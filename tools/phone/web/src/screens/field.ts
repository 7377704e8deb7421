/** One field: its value now, a new one with checks as it is typed, and the way to delete it. */

import type { App, Render } from "../app";
import { button, facts, h } from "../dom";
import { check, fieldOf } from "../fields";
import { fieldName } from "../i18n";
import { type Group, allows } from "../protocol/messages";
import { entry, newTyped } from "./entry";
import { group, valueOf } from "./group";
import { remove } from "./remove";

export function field(app: App, id: number): Render {
  const number = (id >> 4) as Group;
  const values = app.values.get(number) ?? null;
  const old = values?.get(id);
  const typed = newTyped(app.edits.get(id) ?? old ?? "");

  function keep(): void {
    const checked = check(id, typed.text);
    if ("reason" in checked) {
      typed.insisted = true;
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
            entry(app, fieldOf(id)!, typed, "value", app.say("field.new"), old),
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
