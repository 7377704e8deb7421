/** A connection out of a host and a one-time code: typed, confirmed, done by the module with progress. */

import type { App, Home, Render } from "../app";
import { alarm, button, facts, h, notice } from "../dom";
import { CODE_DIGITS, CREDENTIAL_URL, checkHost, codeFault, inGroups, narrow } from "../fields";
import { CONTRACT_NUMBER, known, noteGone } from "../flows";
import type { Key } from "../i18n";
import { CONNECTION, CUSTOMER, ModuleError } from "../protocol/messages";
import { failureText, perform } from "./act";
import { group, valueOf } from "./group";
import { menuHome } from "./menu";
import { result } from "./result";

const CODE_GROUPS = [4, 4, 4, 4, 4];
const CODE_WORDS: Readonly<Record<Exclude<ReturnType<typeof codeFault>, null>, Key>> = {
  empty: "login.short",
  not_digits: "reason.not_digits",
  too_short: "login.short",
  too_long: "login.short",
  luhn: "enrol.luhn",
};

/** home: where it leads back to, where that is not the group. */
export function enrol(app: App, home: Home | null = null): Render {
  let host = "";
  let code = "";
  let failure: Key | null = null;
  let place: "host" | "code" = "host";

  function next(): void {
    const fault = codeFault(code);
    failure = checkHost(host) === null ? "enrol.bad_host" : fault && CODE_WORDS[fault];
    place = checkHost(host) === null ? "host" : "code";
    if (failure === null) {
      app.show(confirm(app, checkHost(host)!, code, form, home ?? menuHome(app)));
    } else {
      app.draw();
      document.querySelector<HTMLElement>(`#${place}`)?.focus();
    }
  }

  const form: Render = () => {
    const back = (): void => app.show(home ? home.render() : group(app, CONNECTION));
    const badHost = failure !== null && place === "host";
    const badCode = failure !== null && place === "code";
    const hostInput = h("input", {
      id: "host",
      inputmode: "url",
      autocapitalize: "off",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "host-told host-how",
      "aria-invalid": String(badHost),
      oninput: () => (host = narrow(hostInput.value)),
    });
    hostInput.value = host;
    const told = h("p", { id: "code-told", class: "told", role: "status" });
    const tell = (): void => {
      const fault = codeFault(code);
      const words = fault === "luhn" ? "enrol.luhn" : badCode && fault ? CODE_WORDS[fault] : null;
      told.classList.toggle("bad", words !== null);
      told.textContent = words
        ? app.say(words, { n: CODE_DIGITS })
        : code && `${inGroups(code, CODE_GROUPS)} (${app.say("field.count", { n: code.length, most: CODE_DIGITS })})`;
    };
    const codeInput = h("input", {
      id: "code",
      class: "digits long",
      inputmode: "numeric",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "code-told",
      "aria-invalid": String(badCode),
      oninput: () => {
        code = narrow(codeInput.value)
          .replace(/[^0-9]/g, "")
          .slice(0, CODE_DIGITS);
        tell();
      },
    });
    codeInput.value = code;
    tell();
    return {
      title: "enrol.title",
      back,
      content: [
        h("p", { class: "lead" }, app.say("enrol.lead")),
        h(
          "form",
          {
            novalidate: true,
            onsubmit: (event) => {
              event.preventDefault();
              next();
            },
          },
          h(
            "div",
            { class: "entry" },
            h("label", { for: "host" }, app.say("enrol.host")),
            h("p", { id: "host-how", class: "hint" }, app.say("enrol.host_how")),
            hostInput,
            badHost && h("p", { id: "host-told", class: "told bad" }, app.say("enrol.bad_host")),
          ),
          h("div", { class: "entry" }, h("label", { for: "code" }, app.say("enrol.code")), codeInput, told),
          h(
            "div",
            { class: "actions" },
            h("button", { type: "submit", class: "button primary" }, app.say("enrol.next")),
            button(app.say("app.cancel"), back),
          ),
        ),
      ],
    };
  };
  return form;
}

function confirm(app: App, host: string, code: string, form: Render, home: Home): Render {
  const session = app.session!;
  let progress: readonly [number, number] | null = null;
  let error: ModuleError | null = null;
  const contract = known(CONTRACT_NUMBER, session.status.see, app.values);

  async function submit(): Promise<void> {
    progress = [0, 0];
    error = null;
    app.draw();
    const done = await perform(app, () =>
      session.enrol(code, host, (ready, all) => {
        progress = [ready, all];
        const bar = document.querySelector("progress");
        if (bar && all) {
          bar.max = all;
          bar.value = ready;
        }
      }),
    );
    progress = null;
    if (done instanceof ModuleError) {
      error = done;
      app.draw();
    } else if (done) {
      app.values.delete(CONNECTION);
      // The contract number may have gone.
      app.values.delete(CUSTOMER);
      noteGone(app.course, [CONTRACT_NUMBER]);
      app.course.acts.add("enrol");
      app.show(result(app, "result.enrolled", done, [["enrol.host", host]], null, home));
    }
  }

  return () => ({
    title: progress ? "enrol.working" : error ? "enrol.failed" : "enrol.confirm",
    ...(progress ? {} : { back: () => app.show(form) }),
    content: [
      error !== null && alarm(app.say(failureText(error)), app.say("enrol.unchanged")),
      facts(
        [app.say("review.new"), host],
        [app.say("review.old"), valueOf(app, CREDENTIAL_URL, app.values.get(CONNECTION) ?? null)],
      ),
      ...(progress
        ? [
            h(
              "div",
              { class: "working" },
              h("progress", {
                "aria-label": app.say("enrol.working"),
                ...(progress[1] ? { value: progress[0], max: progress[1] } : {}),
              }),
              h("p", {}, app.say("enrol.working_how")),
            ),
          ]
        : [
            h("p", { class: "lead" }, app.say("enrol.confirm_lead")),
            contract !== "" &&
              notice("bad", app.say("enrol.contract", { number: contract ?? "" }), app.say("enrol.contract_how")),
            h(
              "div",
              { class: "actions" },
              button(app.say("enrol.submit"), () => void submit(), "primary"),
              button(app.say("app.back"), () => app.show(form)),
            ),
          ]),
    ],
  });
}
