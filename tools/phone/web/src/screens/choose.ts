/** First screen: how to reach the module, and which one. */

import type { App, Render } from "../app";
import { type Child, alarm, h, icon, notice, working } from "../dom";
import { readInfo } from "../protocol/link";
import { type Advertised, RadioTransport, scan } from "../transports/radio";
import type { Transport } from "../transports/transport";
import { pickModule } from "../transports/web_bluetooth";
import { module } from "./module";

type Doing = "scanning" | "connecting" | null;

export function choose(app: App): Render {
  let doing: Doing = null;
  let error: unknown = null;
  let found: readonly Advertised[] | null = null;

  async function attempt(work: () => Promise<void>, what: Doing): Promise<void> {
    doing = what;
    error = found = null;
    app.draw();
    try {
      await work();
      doing = null;
    } catch (failure) {
      doing = null;
      error = failure;
      app.draw();
    }
  }

  function connect(transport: Transport): Promise<void> {
    return attempt(async () => {
      app.learn(await readInfo(transport));
      app.transport = transport;
      app.show(module(app));
    }, "connecting");
  }

  async function bluetooth(): Promise<void> {
    let picked: Transport | null = null;
    await attempt(async () => {
      picked = await pickModule();
    }, null);
    if (picked) {
      await connect(picked);
    }
  }

  async function radio(url: string): Promise<void> {
    await attempt(async () => {
      found = await scan(url);
    }, "scanning");
    app.draw();
  }

  function carriers(): Child[] {
    const { radioUrl, relay } = app.carriers;
    const choices: Child[] = [];
    if (relay) {
      choices.push(choice(app.say("choose.relay"), app.say("choose.relay_how"), () => void connect(relay)));
    }
    if (radioUrl !== null) {
      const again = found?.length ? "choose.radio_again" : "choose.radio";
      choices.push(choice(app.say(again), app.say("choose.radio_how"), () => void radio(radioUrl)));
    }
    if ("bluetooth" in navigator) {
      choices.push(choice(app.say("choose.bluetooth"), app.say("choose.bluetooth_how"), () => void bluetooth()));
    } else if (!choices.length) {
      choices.push(notice("none", app.say("choose.no_bluetooth"), app.say("choose.no_bluetooth_how")));
    }
    return choices;
  }

  function modules(): Child[] {
    const { radioUrl } = app.carriers;
    if (found === null || radioUrl === null) {
      return [];
    }
    if (!found.length) {
      return [alarm(app.say("choose.none"))];
    }
    return [
      h("h2", {}, app.say("choose.found")),
      ...found.map(({ address, name, state }) =>
        choice(name, app.say(`state.${state}`), () => void connect(new RadioTransport(radioUrl, address))),
      ),
    ];
  }

  return () => ({
    title: "choose.title",
    content: [
      h("p", { class: "lead" }, app.say("choose.lead")),
      error !== null && app.alarmFor(error),
      !isSecureContext && alarm(app.say("choose.insecure")),
      doing === null
        ? h("div", { class: "choices" }, ...modules(), ...carriers())
        : working(app.say(`choose.${doing}`)),
    ],
  });
}

/** A large button: what, and in a second line how. */
export function choice(title: string, how: string, onclick: () => void): HTMLElement {
  return h(
    "button",
    { type: "button", class: "choice", onclick },
    h("span", { class: "choice-text" }, h("strong", {}, title), h("span", {}, how)),
    icon("next"),
  );
}
