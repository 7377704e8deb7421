/** Which words go with an error: what happened, and what to do. */

import type { Key } from "./i18n";
import { Malformed } from "./protocol/bytes";
import { BadSeal } from "./protocol/channel";
import { BadIterations } from "./protocol/derive";
import { Refused } from "./protocol/frames";
import { UnknownVersion } from "./protocol/info";
import { OtherCredential, OtherModule } from "./protocol/login";
import { ModuleError } from "./protocol/messages";
import { BadShare } from "./protocol/spake2plus";
import { LinkError } from "./transports/transport";

const TOLD = ["wrong", "no_credential", "no_time", "locked", "busy", "delayed", "tampered", "failed", "timeout"];

/** Keys of title and advice. Throws what is no error of ours. */
export function faultText(error: unknown): [Key, Key] {
  if (error instanceof Refused) {
    return pair(`refused.${TOLD.includes(error.code) ? error.code : "other"}`);
  }
  if (error instanceof LinkError) {
    return pair(`fault.${error.fault}`);
  }
  if (error instanceof UnknownVersion) {
    return pair("fault.version");
  }
  if (error instanceof OtherModule) {
    return pair("fault.other_module");
  }
  if (error instanceof OtherCredential) {
    return pair("fault.other_credential");
  }
  if (error instanceof ModuleError) {
    return ["failure.not_read", error.code === "tampered" ? "failure.tampered" : "failure.other"];
  }
  const strange = [Malformed, BadSeal, BadShare, BadIterations];
  if (strange.some((kind) => error instanceof kind)) {
    return pair("fault.strange");
  }
  throw error;
}

function pair(key: string): [Key, Key] {
  return [key as Key, `${key}_how` as Key];
}
