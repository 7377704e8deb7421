/** The way back from tampering: everything is wiped, after a second, deliberate step. */

import type { App, Render } from "../app";
import { alarm, button, h, notice, working } from "../dom";
import { newCourse } from "../flows";
import { ModuleError } from "../protocol/messages";
import { failureText, perform } from "./act";
import { menu } from "./menu";
import { result } from "./result";

export function wipe(app: App): Render {
  const session = app.session!;
  let busy = false;
  let understood = false;
  let error: ModuleError | null = null;

  async function submit(): Promise<void> {
    busy = true;
    error = null;
    app.draw();
    const done = await perform(app, () => session.wipe());
    busy = false;
    if (done instanceof ModuleError) {
      error = done;
      app.draw();
    } else if (done !== null) {
      app.values.clear();
      app.edits.clear();
      app.course = newCourse();
      const { generation, changesLeft } = session.status;
      app.show(result(app, "result.wiped", { generation, changesLeft, repeated: false }, [], "result.wiped_how"));
    }
  }

  return () => {
    const submitButton = button(app.say("wipe.submit"), () => void submit(), "danger") as HTMLButtonElement;
    submitButton.disabled = !understood;
    const box = h("input", {
      type: "checkbox",
      id: "understood",
      onchange: () => {
        understood = box.checked;
        submitButton.disabled = !understood;
      },
    });
    box.checked = understood;
    const back = (): void => app.show(menu(app));
    return {
      title: "wipe.title",
      ...(busy ? {} : { back }),
      content: [
        error !== null && alarm(app.say("failure.not_done"), app.say(failureText(error))),
        notice("bad", app.say("wipe.lead")),
        ...(busy
          ? [working(app.say("wipe.working"))]
          : [
              h("label", { class: "check", for: "understood" }, box, h("span", {}, app.say("wipe.understood"))),
              h("div", { class: "actions" }, submitButton, button(app.say("app.cancel"), back)),
            ]),
      ],
    };
  };
}
