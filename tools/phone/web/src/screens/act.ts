/** Asks the module to do something that changes it, and sorts how that may end. */

import type { App } from "../app";
import type { Key } from "../i18n";
import { ModuleError } from "../protocol/messages";
import { SessionOver } from "../protocol/sealed_line";

/** What came of it; the module's refusal; or null where the session is over, which has its own screen. */
export async function perform<Value>(app: App, work: () => Promise<Value>): Promise<Value | ModuleError | null> {
  app.unanswered = true;
  try {
    return await work();
  } catch (error) {
    if (error instanceof SessionOver) {
      return null;
    }
    if (error instanceof ModuleError) {
      return error;
    }
    throw error;
  } finally {
    app.unanswered = false;
  }
}

export function failureText(failure: ModuleError): Key {
  switch (failure.code) {
    case "not_allowed":
    case "stale":
    case "used_up":
    case "failed":
    case "tampered":
    case "bad_message":
      return `failure.${failure.code}`;
    case "enrol":
      return `enrol.${failure.reason ?? "other"}` as Key;
    default:
      return "failure.other";
  }
}
