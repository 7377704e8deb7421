/** What the module says of itself: its state in words, and what to do about it. */

import type { App, Render } from "../app";
import { type Child, type Tone, button, facts, h, notice, working } from "../dom";
import type { Key } from "../i18n";
import { type Info, type ModuleState, acceptsCredential } from "../protocol/info";
import { readInfo } from "../protocol/link";
import { choose } from "./choose";
import { login } from "./login";

const TONES: Readonly<Record<ModuleState, Tone>> = {
  waiting: "good",
  idle: "none",
  busy: "wait",
  locked: "lock",
  tampered: "bad",
  no_time: "wait",
};

/** fresh: ask it first, since what is known is old. */
export function module(app: App, fresh = false): Render {
  let asking = fresh;
  let error: unknown = null;

  async function refresh(): Promise<void> {
    try {
      app.learn(await readInfo(app.transport!));
    } catch (failure) {
      error = failure;
    }
    asking = false;
    app.draw();
  }

  function again(): void {
    asking = true;
    error = null;
    app.draw();
    void refresh();
  }

  if (fresh) {
    void refresh();
  }

  return () => {
    const info = app.info!;
    const accepts = acceptsCredential(info);
    return {
      title: "module.title",
      back: () => app.show(choose(app)),
      content: [
        error !== null && app.alarmFor(error),
        notice(TONES[info.state], app.say(`state.${info.state}`), app.say(advice(info))),
        facts(
          [app.say("module.serial"), info.serial || app.say("field.hidden")],
          [app.say("module.place"), app.say(info.inPanelBoard ? "module.place_board" : "module.place_pcs")],
          accepts ? [app.say("module.tries"), tries(app, info.failuresLeft)] : null,
          accepts ? [app.say("module.time"), app.ticking(() => timeLeft(app, info))] : null,
        ),
        accepts && h("p", { class: "quiet" }, app.say("module.check")),
        asking
          ? working(app.say("choose.connecting"))
          : h(
              "div",
              { class: "actions" },
              accepts && delay(app, info),
              accepts && button(app.say("module.login"), () => app.show(login(app)), "primary"),
              button(app.say("module.refresh"), again, accepts ? "plain" : "primary"),
              button(app.say("module.other"), () => app.show(choose(app))),
            ),
      ],
    };
  };
}

function advice(info: Info): Key {
  if (info.state === "tampered" && acceptsCredential(info)) {
    return "state.tampered_ready";
  }
  return info.state === "locked" && info.hasPanel ? "state.locked_panel" : `state.${info.state}_how`;
}

function tries(app: App, failuresLeft: number | null): string {
  return failuresLeft === null ? app.say("module.tries_more") : app.say("module.tries_n", { n: failuresLeft });
}

function timeLeft(app: App, info: Info): string {
  if (info.secondsLeft === null) {
    return app.say("time.none");
  }
  const left = app.since(info.secondsLeft);
  return left ? app.duration(left) : app.say("time.over");
}

/** The growing delay, counting down; nothing once it is over. */
export function delay(app: App, info: Info): Child {
  if (!app.since(info.delayS)) {
    return null;
  }
  return h(
    "p",
    { class: "delay" },
    app.ticking(() => {
      const left = app.since(info.delayS);
      return left ? app.say("module.delay", { time: app.duration(left) }) : "";
    }),
  );
}
