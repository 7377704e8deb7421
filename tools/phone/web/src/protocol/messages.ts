/** What sealed frames hold (docs/protocol.md, "Messages"). */

import { type Bytes, Malformed, Reader, concat, textOf, uint, utf8 } from "./bytes";

export const GROUPS = [1, 2, 3, 4, 5] as const;
export type Group = (typeof GROUPS)[number];
export const CUSTOMER: Group = 1;
export const USAGE_HISTORY: Group = 2;
export const CONNECTION: Group = 5;

export const ENDINGS = ["done", "idle", "lock", "expired", "revoked", "replaced", "tampered"] as const;
export type Ending = (typeof ENDINGS)[number];

export const ERRORS = [
  "not_allowed",
  "stale",
  "used_up",
  "field",
  "tampered",
  "failed",
  "enrol",
  "bad_message",
] as const;
export type ErrorCode = (typeof ERRORS)[number];

export const FIELD_REASONS = [
  "empty",
  "too_long",
  "too_short",
  "not_digits",
  "bad_area",
  "bad_character",
  "out_of_range",
  "bad_url",
  "bad_certificate",
  "bad_text",
] as const;
export type FieldReason = (typeof FIELD_REASONS)[number];

export const ENROL_REASONS = [
  "host_form",
  "code_form",
  "code_refused",
  "bad_answer",
  "not_proved",
  "not_reached",
  "tls",
  "other",
] as const;
export type EnrolReason = (typeof ENROL_REASONS)[number];

export interface Status {
  readonly generation: number;
  readonly changesLeft: number;
  /** null: no lifetime. */
  readonly secondsLeft: number | null;
  readonly idleS: number;
  readonly see: number;
  readonly change: number;
  readonly delete: number;
  readonly mayWipe: boolean;
  readonly hasPanel: boolean;
}

export interface Result {
  readonly generation: number;
  readonly changesLeft: number;
  readonly repeated: boolean;
}

export type Values = ReadonlyMap<number, string>;

export type Answer =
  | { readonly kind: "status"; readonly status: Status }
  | { readonly kind: "view"; readonly group: number; readonly values: Values }
  | { readonly kind: "result"; readonly result: Result }
  | { readonly kind: "progress"; readonly done: number; readonly all: number }
  | { readonly kind: "ended"; readonly reason: Ending }
  | { readonly kind: "error"; readonly error: ModuleError };

/** The module understood and did nothing; nothing was changed. reason is that of a field or of an enrolment. */
export class ModuleError extends Error {
  override readonly name = "ModuleError";

  constructor(
    readonly code: ErrorCode,
    readonly fieldId: number,
    readonly reason: FieldReason | EnrolReason | null,
  ) {
    super(code);
  }
}

export function allows(mask: number, group: Group): boolean {
  return ((mask >> group) & 1) === 1;
}

export const askStatus = (): Bytes => uint(0x10, 1);
export const view = (group: Group): Bytes => concat(uint(0x11, 1), uint(group, 1));
export const wipe = (): Bytes => uint(0x15, 1);
export const end = (): Bytes => uint(0x16, 1);

export function change(number: number, generation: number, values: Values): Bytes {
  return concat(uint(0x12, 1), uint(number, 4), uint(generation, 4), items(values));
}

/** fieldIds empty: the whole group. */
export function remove(number: number, generation: number, group: Group, fieldIds: readonly number[]): Bytes {
  return concat(uint(0x13, 1), uint(number, 4), uint(generation, 4), uint(group, 1), Uint8Array.from(fieldIds));
}

export function enrol(number: number, generation: number, code: string, host: string): Bytes {
  return concat(uint(0x14, 1), uint(number, 4), uint(generation, 4), utf8(code), utf8(host));
}

function items(values: Values): Bytes {
  const ascending = [...values].sort(([one], [other]) => one - other);
  return concat(
    ...ascending.map(([id, text]) => {
      const value = utf8(text);
      return concat(uint(id, 1), uint(value.length, 2), value);
    }),
  );
}

/** `Malformed` for what is no message of a module. */
export function parseAnswer(message: Bytes): Answer {
  const reader = new Reader(message);
  const answer = parse(reader.uint(1), reader);
  reader.end();
  return answer;
}

function parse(kind: number, reader: Reader): Answer {
  switch (kind) {
    case 0x90:
      return { kind: "status", status: parseStatus(reader) };
    case 0x91:
      return { kind: "view", group: reader.uint(1), values: parseItems(reader) };
    case 0x92:
      return {
        kind: "result",
        result: { generation: reader.uint(4), changesLeft: reader.uint(2), repeated: reader.uint(1) === 1 },
      };
    case 0x94:
      return { kind: "progress", done: reader.uint(4), all: reader.uint(4) };
    case 0x96:
      return { kind: "ended", reason: named(ENDINGS, reader.uint(1)) };
    case 0x9f:
      return { kind: "error", error: parseError(reader) };
    default:
      throw new Malformed("kind");
  }
}

function parseStatus(reader: Reader): Status {
  const generation = reader.uint(4);
  const changesLeft = reader.uint(2);
  const secondsLeft = reader.uint(4);
  const idleS = reader.uint(2);
  const see = reader.uint(1);
  const change = reader.uint(1);
  const remove = reader.uint(1);
  const flags = reader.uint(1);
  return {
    generation,
    changesLeft,
    secondsLeft: secondsLeft === 0xffffffff ? null : secondsLeft,
    idleS,
    see,
    change,
    delete: remove,
    mayWipe: (flags & 1) !== 0,
    hasPanel: (flags & 2) !== 0,
  };
}

function parseItems(reader: Reader): Values {
  const values = new Map<number, string>();
  let last = 0;
  while (reader.left) {
    const id = reader.uint(1);
    if (id <= last) {
      throw new Malformed("order of items");
    }
    last = id;
    values.set(id, textOf(reader.take(reader.uint(2))));
  }
  return values;
}

function parseError(reader: Reader): ModuleError {
  const code = named(ERRORS, reader.uint(1));
  const fieldId = reader.uint(1);
  const reason = reader.uint(1);
  if (code === "field") {
    return new ModuleError(code, fieldId, named(FIELD_REASONS, reason));
  }
  return new ModuleError(code, fieldId, code === "enrol" ? named(ENROL_REASONS, reason) : null);
}

function named<Name>(names: readonly Name[], number: number): Name {
  const name = names[number - 1];
  if (name === undefined) {
    throw new Malformed("number");
  }
  return name;
}
