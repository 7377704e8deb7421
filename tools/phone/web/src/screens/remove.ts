/** Deleting a field or a whole group, once it was confirmed. */

import type { App, Home, Render } from "../app";
import { alarm, button, facts, h, notice, working } from "../dom";
import { fieldsOf } from "../fields";
import { CONTRACT_NUMBER, noteGone } from "../flows";
import { fieldName } from "../i18n";
import { CONNECTION, CUSTOMER, type Group, ModuleError, USAGE_HISTORY } from "../protocol/messages";
import { failureText, perform } from "./act";
import { group, valueOf } from "./group";
import { menuHome } from "./menu";
import { result } from "./result";

/** ids empty: the whole group. home: where it leads back to, where that is not the group. */
export function remove(app: App, number: Group, ids: readonly number[], home: Home | null = null): Render {
  const session = app.session!;
  const values = app.values.get(number) ?? null;
  // What is known to be empty is not there to be deleted.
  const gone = (ids.length ? ids : fieldsOf(number)).filter((id) => values?.get(id) !== "");
  // It may be there without a contract number too (S20).
  const takesHistory = number === CUSTOMER && (!ids.length || ids.includes(CONTRACT_NUMBER));
  let working_ = false;
  let error: ModuleError | null = null;

  async function submit(): Promise<void> {
    working_ = true;
    error = null;
    app.draw();
    const done = await perform(app, () => session.remove(number, ids));
    working_ = false;
    if (done instanceof ModuleError) {
      error = done;
      app.draw();
    } else if (done) {
      app.values.delete(number);
      gone.forEach((id) => app.edits.delete(id));
      noteGone(app.course, gone);
      if (number === CUSTOMER && !ids.length) {
        app.course.acts.add("clear");
      }
      app.show(
        result(
          app,
          "result.deleted",
          done,
          [...gone, ...(takesHistory ? fieldsOf(USAGE_HISTORY) : [])].map((id) => [fieldName(id), ""]),
          "result.gone",
          home ?? menuHome(app),
        ),
      );
    }
  }

  const back = (): void => app.show(home ? home.render() : group(app, number));
  return () => ({
    title: "delete.title",
    ...(working_ ? {} : { back }),
    content: [
      error !== null && alarm(app.say("failure.not_done"), app.say(failureText(error))),
      notice(
        "bad",
        app.say(number === USAGE_HISTORY ? "delete.usage" : "delete.lead"),
        number === CONNECTION && app.say("delete.connection"),
        takesHistory && app.say("delete.history"),
      ),
      number !== USAGE_HISTORY &&
        facts(...gone.map((id) => [app.say(fieldName(id)), valueOf(app, id, values)] as const)),
      working_
        ? working(app.say("delete.working"))
        : h(
            "div",
            { class: "actions" },
            button(app.say("delete.submit"), () => void submit(), "danger"),
            button(app.say("app.cancel"), back),
          ),
    ],
  });
}
