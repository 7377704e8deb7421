/** ID and password. They are kept in this screen alone, and forgotten with it. */

import type { App, Render } from "../app";
import { button, h, working } from "../dom";
import { narrow } from "../fields";
import type { Key } from "../i18n";
import { Refused } from "../protocol/frames";
import { type LoginStep, login as prove } from "../protocol/login";
import { readInfo } from "../protocol/link";
import { SessionOver } from "../protocol/sealed_line";
import { pause } from "../transports/transport";
import { menu } from "./menu";
import { delay, module } from "./module";

const ID_DIGITS = 8;
const DELAY_LOOK_MS = 1_000;

export function login(app: App): Render {
  let userId = "";
  let password = "";
  let visible = false;
  let step: LoginStep | "waiting" | null = null;
  let error: unknown = null;
  let short: Key | null = null;
  let refreshing: Promise<void> | null = null;

  async function submit(): Promise<void> {
    const info = app.info!;
    const wanted: [Key, string, number][] = [
      ["login.id", userId, ID_DIGITS],
      ["login.password", password, info.passwordDigits],
    ];
    error = null;
    short = wanted.find(([, typed, digits]) => typed.length !== digits)?.[0] ?? null;
    if (short !== null) {
      app.draw();
      document.querySelector<HTMLElement>(short === "login.id" ? "#user-id" : "#password")?.focus();
      return;
    }
    try {
      if (refreshing) {
        // Its answer would be taken for the next try's.
        step = "waiting";
        app.draw();
        await refreshing;
      }
      while (app.since(app.info!.delayS)) {
        step = "waiting";
        app.draw();
        await pause(DELAY_LOOK_MS);
      }
      const session = await prove(app.transport!, info.serial, userId, password, (next) => {
        step = next;
        app.draw();
      });
      userId = password = "";
      app.begin(session);
      app.show(menu(app));
    } catch (failure) {
      step = null;
      if (failure instanceof SessionOver) {
        throw failure;
      }
      error = failure;
      if (failure instanceof Refused) {
        if (failure.code === "wrong") {
          password = "";
        }
        app.learn({ ...info, failuresLeft: failure.failuresLeft, delayS: Math.ceil(failure.delayMs / 1_000) });
      }
      app.draw();
      document.querySelector<HTMLElement>("[role=alert]")?.scrollIntoView({ block: "center" });
      refreshing = refresh();
      await refreshing;
      refreshing = null;
    }
  }

  /** What the module says of itself now: the state may be another after a failure. */
  async function refresh(): Promise<void> {
    try {
      app.learn(await readInfo(app.transport!));
      app.draw();
    } catch {
      // It was told why already; the next try finds out.
    }
  }

  function digits(
    key: Key,
    id: string,
    typed: string,
    most: number,
    hidden: boolean,
    take: (value: string) => void,
  ): HTMLElement {
    const tell = (): void => {
      const missing = most - input.value.length;
      const bad = short === key && missing > 0;
      hint.className = bad ? "told bad" : "hint";
      hint.textContent = bad
        ? app.say("login.short", { n: most })
        : missing
          ? app.say("login.digits", { n: missing })
          : app.say("login.full");
    };
    const input: HTMLInputElement = h("input", {
      id,
      name: id,
      class: hidden ? "digits masked" : "digits",
      inputmode: "numeric",
      autocomplete: "off",
      maxlength: most,
      spellcheck: "false",
      "aria-describedby": `${id}-left`,
      "aria-invalid": String(short === key),
      oninput: () => {
        input.value = narrow(input.value)
          .replace(/[^0-9]/g, "")
          .slice(0, most);
        take(input.value);
        tell();
      },
    });
    input.value = typed;
    const hint = h("p", { id: `${id}-left` });
    tell();
    return h("div", { class: "entry" }, h("label", { for: id }, app.say(key, { n: most })), input, hint);
  }

  return () => {
    const info = app.info!;
    const most = info.passwordDigits || 16;
    const show = h(
      "button",
      {
        type: "button",
        class: "button plain small start",
        "aria-pressed": String(visible),
        onclick: () => {
          visible = !visible;
          app.draw();
          document.querySelector<HTMLElement>("[aria-pressed]")?.focus();
        },
      },
      app.say(visible ? "login.hide" : "login.show"),
    );
    return {
      title: "login.title",
      back: () => app.show(module(app)),
      content: [
        h("p", { class: "lead" }, app.say("login.lead")),
        error !== null && app.alarmFor(error),
        info.failuresLeft !== null && h("p", { class: "tries" }, app.say("login.tries", { n: info.failuresLeft })),
        step !== null
          ? working(app.say(`login.${step}`, { time: app.duration(app.since(info.delayS)) }))
          : h(
              "form",
              {
                novalidate: true,
                onsubmit: (event) => {
                  event.preventDefault();
                  void submit();
                },
              },
              digits("login.id", "user-id", userId, ID_DIGITS, false, (value) => (userId = value)),
              digits("login.password", "password", password, most, !visible, (value) => (password = value)),
              show,
              delay(app, info),
              h(
                "div",
                { class: "actions" },
                h("button", { type: "submit", class: "button primary" }, app.say("login.submit")),
                button(app.say("app.cancel"), () => app.show(module(app))),
              ),
            ),
      ],
    };
  };
}
