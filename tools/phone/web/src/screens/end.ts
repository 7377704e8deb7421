/** The end of a session, by the user's will. */

import type { App, Render } from "../app";
import { button, h, notice, working } from "../dom";
import { menu } from "./menu";

export function end(app: App): Render {
  let ending = false;

  async function submit(): Promise<void> {
    ending = true;
    app.draw();
    await app.session?.end();
  }

  return () => ({
    title: "end.title",
    ...(ending ? {} : { back: () => app.show(menu(app)) }),
    content: [
      app.edits.size > 0 && notice("bad", app.say("end.pending", { n: app.edits.size })),
      ending
        ? working(app.say("app.working"))
        : h(
            "div",
            { class: "actions" },
            button(app.say("end.submit"), () => void submit(), app.edits.size ? "danger" : "primary"),
            button(app.say("end.stay"), () => app.show(menu(app))),
          ),
    ],
  });
}
