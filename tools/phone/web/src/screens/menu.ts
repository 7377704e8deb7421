/** The groups that the credential allows; the way to review, enrolment, wipe and end. */

import type { App, Render } from "../app";
import { button, h, notice } from "../dom";
import { type Key, groupName } from "../i18n";
import { GROUPS, type Group, type Status, allows } from "../protocol/messages";
import { choice } from "./choose";
import { end } from "./end";
import { group } from "./group";
import { review } from "./review";
import { wipe } from "./wipe";

export function menu(app: App): Render {
  return () => {
    const { status } = app.session!;
    const usable = GROUPS.filter((number) => rights(status, number).length);
    const pending = app.edits.size;
    return {
      title: "menu.title",
      back: () => app.show(end(app)),
      content: [
        status.mayWipe && notice("bad", app.say("state.tampered"), app.say("menu.wipe_how")),
        pending > 0 &&
          h(
            "section",
            { class: "pending", "aria-label": app.say("menu.pending", { n: pending }) },
            h("p", {}, app.say("menu.pending", { n: pending })),
            button(app.say("menu.review"), () => app.show(review(app)), "primary"),
          ),
        (usable.length > 0 || !status.mayWipe) &&
          h("p", { class: "lead" }, app.say(usable.length ? "menu.lead" : "menu.none")),
        h(
          "div",
          { class: "choices" },
          ...usable.map((number) => {
            const may = rights(status, number).map((key) => app.say(key));
            return choice(app.say(groupName(number)), may.join(app.language === "ja" ? "・" : ", "), () =>
              app.show(group(app, number)),
            );
          }),
        ),
        h(
          "div",
          { class: "actions" },
          status.mayWipe && button(app.say("menu.wipe"), () => app.show(wipe(app)), "danger"),
          button(app.say("menu.end"), () => app.show(end(app))),
        ),
      ],
    };
  };
}

function rights(status: Status, number: Group): Key[] {
  const found: Key[] = [];
  if (allows(status.see, number)) {
    found.push("menu.may_see");
  }
  // The usage history is never typed, only deleted.
  if (allows(status.change, number) && number !== 2) {
    found.push("menu.may_change");
  }
  if (allows(status.delete, number)) {
    found.push("menu.may_delete");
  }
  return found;
}
