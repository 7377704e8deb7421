/** What a module says of itself to all (docs/protocol.md, "Info"). Not authenticated: to be shown, not relied on. */

import { type Bytes, Malformed, Reader } from "./bytes";

export const STATES = ["idle", "waiting", "busy", "locked", "tampered", "no_time"] as const;
export type ModuleState = (typeof STATES)[number];

export interface Info {
  readonly state: ModuleState;
  readonly inPanelBoard: boolean;
  readonly hasPanel: boolean;
  readonly recoveryWaits: boolean;
  /** null: more than it says. */
  readonly failuresLeft: number | null;
  readonly delayS: number;
  readonly passwordDigits: number;
  readonly iterations: number;
  readonly salt: Bytes;
  /** null: the credential has no lifetime, or there is none. */
  readonly secondsLeft: number | null;
  /** "" where the module's identity is damaged. */
  readonly serial: string;
}

/** The module speaks a version of the protocol that this page does not know. */
export class UnknownVersion extends Error {
  override readonly name = "UnknownVersion";
}

const VERSION = 1;
const NO_LIFETIME = 0xffffffff;
const SERIAL = /^[A-Za-z0-9-]{0,32}$/;

export function parseInfo(body: Bytes): Info {
  const reader = new Reader(body);
  if (reader.uint(1) !== VERSION) {
    throw new UnknownVersion();
  }
  const state = STATES[reader.uint(1)];
  const flags = reader.uint(1);
  const failuresLeft = reader.uint(1);
  const delayS = reader.uint(2);
  const passwordDigits = reader.uint(1);
  reader.take(1);
  const iterations = reader.uint(4);
  const salt = reader.take(16);
  const secondsLeft = reader.uint(4);
  const serial = String.fromCharCode(...reader.take(reader.uint(1)));
  reader.end();
  if (!state || !SERIAL.test(serial)) {
    throw new Malformed("info");
  }
  return {
    state,
    inPanelBoard: (flags & 1) !== 0,
    hasPanel: (flags & 2) !== 0,
    recoveryWaits: (flags & 4) !== 0,
    failuresLeft: failuresLeft === 255 ? null : failuresLeft,
    delayS,
    passwordDigits,
    iterations,
    salt,
    secondsLeft: secondsLeft === NO_LIFETIME ? null : secondsLeft,
    serial,
  };
}

/** Whether an ID and a password can be tried at this door, now or after the delay. */
export function acceptsCredential(info: Info): boolean {
  const open = info.state === "waiting" || (info.state === "tampered" && info.recoveryWaits && info.failuresLeft !== 0);
  return open && info.serial !== "";
}
