/** All changes that wait, old beside new; sent together. */

import type { App, Home, Render } from "../app";
import { alarm, button, h, working } from "../dom";
import { fieldOf, shown } from "../fields";
import { noteChanged } from "../flows";
import { fieldName } from "../i18n";
import { type FieldReason, type Group, ModuleError } from "../protocol/messages";
import { failureText, perform } from "./act";
import { reasonText } from "./entry";
import { field } from "./field";
import { valueOf } from "./group";
import { result } from "./result";

export function review(app: App, home: Home): Render {
  const session = app.session!;
  let sending = false;
  let error: ModuleError | null = null;

  async function send(): Promise<void> {
    sending = true;
    error = null;
    app.draw();
    const sent = new Map([...app.edits].sort(([one], [other]) => one - other));
    const done = await perform(app, () => session.change(sent));
    sending = false;
    if (done instanceof ModuleError) {
      error = done;
      if (done.code === "stale" || done.code === "failed") {
        await readAgain();
      }
      app.draw();
    } else if (done) {
      for (const [id] of sent) {
        app.values.delete(id >> 4);
      }
      noteChanged(app.course, sent.keys());
      app.edits.clear();
      app.show(
        result(
          app,
          "result.changed",
          done,
          [...sent].map(([id, value]) => [fieldName(id), shown(id, value)]),
          null,
          home,
        ),
      );
    }
  }

  async function readAgain(): Promise<void> {
    await perform(app, async () => {
      await session.refresh();
      for (const number of [...app.values.keys()] as Group[]) {
        app.values.set(number, await session.view(number));
      }
    });
  }

  function why(failure: ModuleError): HTMLElement {
    const entry = fieldOf(failure.fieldId);
    if (failure.code !== "field" || !entry) {
      return alarm(app.say("failure.not_done"), app.say(failureText(failure)));
    }
    const reason = failure.reason as FieldReason;
    const words = reasonText(app, entry, reason, app.edits.get(entry.id) ?? "");
    return alarm(
      app.say("failure.not_done"),
      app.say("failure.field", { field: app.say(fieldName(entry.id)), reason: words }),
    );
  }

  function row(id: number, value: string): HTMLElement {
    const name = app.say(fieldName(id));
    const named = (action: string): string => app.say("review.of", { field: name, action });
    return h(
      "li",
      { class: "change" },
      h("h2", {}, name),
      h(
        "dl",
        { class: "old-new" },
        h("dt", {}, app.say("review.old")),
        h("dd", {}, valueOf(app, id, app.values.get(id >> 4) ?? null)),
        h("dt", {}, app.say("review.new")),
        h("dd", { class: "new" }, shown(id, value)),
      ),
      h(
        "div",
        { class: "pair" },
        small(app.say("review.edit"), named(app.say("review.edit")), () =>
          app.show(home.edit?.(id) ?? field(app, id)),
        ),
        small(app.say("review.drop"), named(app.say("review.drop")), () => {
          app.edits.delete(id);
          app.show(app.edits.size ? review(app, home) : home.render());
        }),
      ),
    );
  }

  return () => ({
    title: "review.title",
    ...(sending ? {} : { back: () => app.show(home.render()) }),
    content: [
      error !== null && why(error),
      h("p", { class: "lead" }, app.say("review.lead")),
      h("ul", { class: "changes" }, ...[...app.edits].map(([id, value]) => row(id, value))),
      sending
        ? working(app.say("review.sending"))
        : h(
            "div",
            { class: "actions" },
            button(app.say("review.send", { n: app.edits.size }), () => void send(), "primary"),
            button(app.say("app.back"), () => app.show(home.render())),
          ),
    ],
  });
}

function small(label: string, name: string, onclick: () => void): HTMLElement {
  return h("button", { type: "button", class: "button plain small", "aria-label": name, onclick }, label);
}
