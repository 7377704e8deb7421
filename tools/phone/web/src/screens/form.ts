/** The fields of a guided flow in one form; what was typed stays for the session, until it is sent. */

import type { App, Home, Render } from "../app";
import { button, h } from "../dom";
import { fieldOf } from "../fields";
import { CONTRACT_NUMBER, type Flow, type FormFault, firstText, known, noteTaken, takeForm } from "../flows";
import { fieldName } from "../i18n";
import { entry, newTyped } from "./entry";
import { valueOf } from "./group";
import { review } from "./review";

export function form(app: App, flow: Flow, home: Home): Render {
  const { course } = app;
  const { see } = app.session!.status;
  const free = flow.act === null;
  const fields = flow.fields.map((id) => ({
    id,
    first: app.edits.get(id) ?? firstText(flow, id, see, app.values),
    typed: newTyped(""),
  }));
  fields.forEach(({ id, first, typed }) => (typed.text = course.typed.get(id) ?? first));

  /** What was typed is there again when this form is. */
  function leave(next: Render): void {
    for (const { id, first, typed } of fields) {
      if (typed.text === first) {
        course.typed.delete(id);
      } else {
        course.typed.set(id, typed.text);
      }
    }
    app.show(next);
  }

  function tell({ id, fault }: FormFault): void {
    const { typed } = fields.find((entered) => entered.id === id)!;
    typed.insisted = true;
    typed.fault = fault === "before" || fault === "nothing" ? `flow.${fault}` : null;
    app.draw();
    document.getElementById(`value-${id}`)?.focus();
  }

  function submit(): void {
    const texts = new Map(fields.map(({ id, typed }) => [id, typed.text] as const));
    const taken = takeForm(flow, texts, see, app.values, course);
    if ("fault" in taken) {
      tell(taken);
      return;
    }
    noteTaken(flow, course, taken);
    fields.forEach(({ id }) => app.edits.delete(id));
    taken.edits.forEach((value, id) => app.edits.set(id, value));
    app.show(taken.edits.size ? review(app, home) : home.render());
  }

  return () => {
    const back = (): void => leave(home.render());
    return {
      title: `flow.${flow.name}`,
      back,
      content: [
        h(
          "p",
          { class: "lead" },
          app.say(free ? "flow.free" : flow.fields[0] === CONTRACT_NUMBER ? "flow.contract" : "flow.in_order"),
        ),
        h(
          "form",
          {
            novalidate: true,
            onsubmit: (event) => {
              event.preventDefault();
              submit();
            },
          },
          ...fields.map(({ id, typed }) => {
            const old = known(id, see, app.values);
            const now = (): string => valueOf(app, id, app.values.get(id >> 4) ?? null);
            const hint = (): HTMLElement => h("span", { class: "now" }, app.say("flow.now", { value: now() }));
            const hints = free && old !== undefined ? [hint()] : [];
            return entry(app, fieldOf(id)!, typed, `value-${id}`, app.say(fieldName(id)), old, ...hints);
          }),
          h(
            "div",
            { class: "actions" },
            h("button", { type: "submit", class: "button primary" }, app.say("flow.review")),
            button(app.say(home.label), back),
          ),
        ),
      ],
    };
  };
}
