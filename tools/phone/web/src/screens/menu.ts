/** The guided flows and the groups that the credential allows; the way to review, wipe and end. */

import type { App, Home, Render } from "../app";
import { type Child, button, h, notice } from "../dom";
import { offered } from "../flows";
import { type Key, groupName } from "../i18n";
import { GROUPS, type Group, type Status, allows } from "../protocol/messages";
import { choice } from "./choose";
import { end } from "./end";
import { flow } from "./flow";
import { group } from "./group";
import { review } from "./review";
import { wipe } from "./wipe";

export function menu(app: App): Render {
  return () => {
    const { status } = app.session!;
    const usable = GROUPS.filter((number) => rights(status, number).length);
    const flows = offered(status);
    return {
      title: "menu.title",
      back: () => app.show(end(app)),
      content: [
        status.mayWipe && notice("bad", app.say("state.tampered"), app.say("menu.wipe_how")),
        pending(app, menuHome(app)),
        flows.length > 0 &&
          h(
            "section",
            { class: "occasions", "aria-labelledby": "occasions" },
            h("h2", { id: "occasions" }, app.say("menu.occasions")),
            h(
              "div",
              { class: "pair" },
              ...flows.map((which) => button(app.say(`flow.${which.name}`), () => app.show(flow(app, which)))),
            ),
          ),
        (usable.length > 0 || !status.mayWipe) &&
          h("p", { class: "lead" }, app.say(flows.length ? "menu.or" : usable.length ? "menu.lead" : "menu.none")),
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

/** The changes that wait to be sent, and the way to send them; nothing where there are none. */
export function pending(app: App, home: Home): Child {
  const n = app.edits.size;
  return (
    n > 0 &&
    h(
      "section",
      { class: "pending", "aria-label": app.say("menu.pending", { n }) },
      h("p", {}, app.say("menu.pending", { n })),
      button(app.say("menu.review"), () => app.show(review(app, home)), "primary"),
    )
  );
}

export function menuHome(app: App): Home {
  return { label: "app.menu", render: () => menu(app) };
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
