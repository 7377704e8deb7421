/** What was done, line by line. */

import type { App, Home, Render } from "../app";
import { button, facts, h, icon, notice } from "../dom";
import type { Key } from "../i18n";
import type { Result } from "../protocol/messages";
import { end } from "./end";
import { menuHome } from "./menu";

/** lines: of each field its name and, where there is one, its new value. */
export function result(
  app: App,
  title: Key,
  done: Result,
  lines: readonly (readonly [Key, string])[],
  advice: Key | null = null,
  home: Home = menuHome(app),
): Render {
  return () => ({
    title,
    content: [
      notice(
        "good",
        app.say("result.done"),
        advice !== null && app.say(advice),
        done.repeated && app.say("result.repeated"),
      ),
      lines.length > 0 &&
        h(
          "ul",
          { class: "done" },
          ...lines.map(([name, value]) =>
            h(
              "li",
              {},
              icon("good"),
              h(
                "span",
                { class: "choice-text" },
                h("span", { class: "label" }, app.say(name)),
                value && h("span", { class: "value" }, value),
              ),
            ),
          ),
        ),
      facts([app.say("result.left"), String(done.changesLeft)], [app.say("result.version"), String(done.generation)]),
      h(
        "div",
        { class: "actions" },
        button(app.say(home.label), () => app.show(home.render()), "primary"),
        button(app.say("menu.end"), () => app.show(end(app))),
      ),
    ],
  });
}
