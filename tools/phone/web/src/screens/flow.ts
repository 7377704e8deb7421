/** A guided flow: its steps with their states, and the one that comes next. */

import type { App, Home, Render } from "../app";
import { type Child, type Icon, button, h, icon, notice, working } from "../dom";
import { shown } from "../fields";
import { type Flow, type Step, type StepState, isActDone, mayPass, steps } from "../flows";
import { type Key, fieldName } from "../i18n";
import { CUSTOMER, allows } from "../protocol/messages";
import { SessionOver } from "../protocol/sealed_line";
import { enrol } from "./enrol";
import { form } from "./form";
import { menu, pending } from "./menu";
import { remove } from "./remove";

const ICONS: Readonly<Record<StepState, Icon>> = { done: "good", next: "next", later: "later", stays: "stays" };

export function flow(app: App, which: Flow): Render {
  const session = app.session!;
  const { see } = session.status;
  const home: Home = {
    label: "flow.back",
    render: () => flow(app, which),
    edit: (id) =>
      which.fields.some((field) => field === id) && isActDone(which, see, app.values, app.course)
        ? form(app, which, home)
        : null,
  };
  let error: unknown = null;

  const unread = (): (typeof which.change)[number][] =>
    which.change.filter((group) => allows(see, group) && !app.values.has(group));

  async function read(): Promise<void> {
    error = null;
    try {
      for (const group of unread()) {
        app.values.set(group, await session.view(group));
      }
    } catch (failure) {
      if (failure instanceof SessionOver) {
        return;
      }
      error = failure;
    }
    app.draw();
  }

  if (unread().length) {
    void read();
  }

  /** The one thing that is due, in its own words. */
  function action(found: readonly Step[]): HTMLElement {
    const due = found.find(({ state }) => state === "next");
    if (due?.what === "clear") {
      return button(app.say("flow.clear"), () => app.show(remove(app, CUSTOMER, [], home)), "danger");
    }
    if (due?.what === "enrol") {
      return button(app.say("menu.enrol"), () => app.show(enrol(app, home)), "primary");
    }
    const entered = which.fields.some((id) => app.edits.has(id));
    return button(
      app.say(due && !entered ? "flow.enter" : "flow.enter_again"),
      () => app.show(form(app, which, home)),
      due && !entered ? "primary" : "plain",
    );
  }

  /** What is done opens again; nothing where there is nothing to delete. */
  function again(): Child {
    if (which.act === "enrol") {
      return button(app.say("flow.enrol_again"), () => app.show(enrol(app, home)));
    }
    const values = app.values.get(CUSTOMER);
    const filled = values === undefined || [...values.values()].some((value) => value !== "");
    return filled && button(app.say("flow.clear_again"), () => app.show(remove(app, CUSTOMER, [], home)), "danger");
  }

  function content(): HTMLElement[] {
    const { act } = which;
    const found = steps(which, see, app.values, app.course);
    const over = found.every(({ state }) => state === "done" || state === "stays");
    const passable = act !== null && found[0]!.state !== "done" && mayPass(which, see);
    return [
      over ? notice("good", app.say("flow.over")) : h("p", { class: "lead" }, app.say(`flow.${which.name}_how`)),
      h("ol", { class: "steps" }, ...found.map((step) => row(app, step))),
      h(
        "div",
        { class: "actions" },
        action(found),
        passable &&
          button(app.say("flow.pass"), () => {
            app.course.acts.add(act);
            app.draw();
          }),
        act !== null && found[0]!.state === "done" && again(),
        button(app.say("app.menu"), () => app.show(menu(app)), over ? "primary" : "plain"),
      ),
    ];
  }

  return () => ({
    title: `flow.${which.name}`,
    back: () => app.show(menu(app)),
    content: [
      pending(app, home),
      ...(error !== null
        ? [
            app.alarmFor(error),
            h(
              "div",
              { class: "actions" },
              button(app.say("app.again"), () => app.show(flow(app, which)), "primary"),
              button(app.say("app.menu"), () => app.show(menu(app))),
            ),
          ]
        : unread().length
          ? [working(app.say("group.reading"))]
          : content()),
    ],
  });
}

function row(app: App, { what, state }: Step): HTMLElement {
  const name: Key = typeof what === "number" ? fieldName(what) : `step.${what}`;
  const edited = typeof what === "number" ? app.edits.get(what) : undefined;
  return h(
    "li",
    { class: `step-${state}`, "aria-current": state === "next" ? "step" : null },
    icon(ICONS[state]),
    h(
      "span",
      { class: "choice-text" },
      h("strong", {}, app.say(name)),
      h("span", {}, app.say(`state.step_${state}`)),
      edited !== undefined && h("span", { class: "label new" }, app.say("group.new")),
      edited !== undefined && h("span", { class: "value new" }, shown(what as number, edited)),
    ),
  );
}
