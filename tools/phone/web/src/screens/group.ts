/** One group: its fields with their values, and what may be done with them. */

import type { App, Render } from "../app";
import { type Child, button, h, icon, working } from "../dom";
import { fieldOf, fieldsOf, shown } from "../fields";
import { fieldName, groupName } from "../i18n";
import { CONNECTION, type Group, USAGE_HISTORY, type Values, allows } from "../protocol/messages";
import { SessionOver } from "../protocol/sealed_line";
import { enrol } from "./enrol";
import { field } from "./field";
import { menu } from "./menu";
import { remove } from "./remove";

export function group(app: App, number: Group): Render {
  const session = app.session!;
  let error: unknown = null;
  const seen = allows(session.status.see, number) && number !== USAGE_HISTORY;

  async function read(): Promise<void> {
    try {
      app.values.set(number, await session.view(number));
      app.draw();
    } catch (failure) {
      if (!(failure instanceof SessionOver)) {
        error = failure;
        app.draw();
      }
    }
  }

  if (seen && !app.values.has(number)) {
    void read();
  }

  return () => {
    const { status } = session;
    const values = app.values.get(number) ?? null;
    const mayChange = allows(status.change, number);
    const mayDelete = allows(status.delete, number);
    const back = (): void => app.show(menu(app));
    const filled = !seen || [...(values?.values() ?? [])].some((value) => value !== "");
    return {
      title: groupName(number),
      back,
      content: [
        error !== null && app.alarmFor(error),
        number === USAGE_HISTORY
          ? h("p", { class: "lead" }, app.say("group.usage"))
          : seen && values === null
            ? working(app.say("group.reading"))
            : list(app, number, values, (mayChange || mayDelete) && number !== CONNECTION),
        h(
          "div",
          { class: "actions" },
          number === CONNECTION && mayChange && button(app.say("menu.enrol"), () => app.show(enrol(app)), "primary"),
          mayDelete && filled && button(app.say("group.delete"), () => app.show(remove(app, number, [])), "danger"),
          button(app.say("app.menu"), back),
        ),
      ],
    };
  };
}

function list(app: App, number: Group, values: Values | null, editable: boolean): HTMLElement {
  return h(
    "ul",
    { class: "fields" },
    ...fieldsOf(number).map((id) => {
      const edited = app.edits.get(id);
      const content: Child[] = [
        h("span", { class: "label" }, app.say(fieldName(id))),
        h("span", { class: "value" }, valueOf(app, id, values)),
        edited !== undefined && h("span", { class: "label new" }, app.say("group.new")),
        edited !== undefined && h("span", { class: "value new" }, shown(id, edited)),
      ];
      const text = h("span", { class: "choice-text" }, ...content);
      return h(
        "li",
        {},
        editable
          ? h(
              "button",
              { type: "button", class: "choice", onclick: () => app.show(field(app, id)) },
              text,
              icon("next"),
            )
          : h("div", { class: "choice still" }, text),
      );
    }),
  );
}

/** A field's value in words; values null: the credential does not allow to see it. */
export function valueOf(app: App, id: number, values: Values | null): string {
  const value = values?.get(id);
  if (value === undefined) {
    return app.say("field.hidden");
  }
  if (!value) {
    return app.say("field.unset");
  }
  return fieldOf(id)?.kind === "secret" ? app.say("field.stored") : shown(id, value);
}
