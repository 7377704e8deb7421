/** Why the session is over, and what comes next. */

import type { App, Render } from "../app";
import { button, h, notice } from "../dom";
import type { Over } from "../protocol/sealed_line";
import { choose } from "./choose";
import { module } from "./module";

/** After these the same credential may do, or one that is there already. */
const AGAIN: readonly Over[] = ["idle", "lock", "replaced", "lost", "broken"];

/** unsent: changes were collected and not sent; perhaps: one was on its way. */
export function over(app: App, why: Over, unsent: boolean, perhaps: boolean): Render {
  return () => ({
    title: "over.title",
    content: [
      notice(
        why === "done" ? "good" : "bad",
        app.say(`over.${why}`),
        app.say(`over.${why}_how`),
        perhaps ? app.say("over.perhaps") : unsent && app.say("over.unsent"),
      ),
      h(
        "div",
        { class: "actions" },
        AGAIN.includes(why) && button(app.say("over.again"), () => app.show(module(app, true)), "primary"),
        button(app.say("app.home"), () => app.show(choose(app)), AGAIN.includes(why) ? "plain" : "primary"),
      ),
    ],
  });
}
