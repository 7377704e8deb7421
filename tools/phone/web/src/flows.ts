/** The guided flows (docs/lifecycle.md): which are offered, how far one is, and what a form of one amounts to. */

import { type FieldId, check } from "./fields";
import { CONNECTION, CUSTOMER, USAGE_HISTORY, allows } from "./protocol/messages";
import type { FieldReason, Group, Status, Values } from "./protocol/messages";

/** What comes before the fields: delete the customer group, or enrol. */
export type Act = "clear" | "enrol";

export interface Flow {
  readonly name: "new_resident" | "new_pps" | "moved" | "equipment";
  /** Groups that the scope has to let change, and delete. */
  readonly change: readonly Group[];
  readonly delete: readonly Group[];
  /** null: each field stands for itself, and may stay as it is. */
  readonly act: Act | null;
  readonly fields: readonly FieldId[];
}

export const CONTRACT_NUMBER = 0x14;

export const FLOWS: readonly Flow[] = [
  {
    name: "new_resident",
    change: [CUSTOMER],
    delete: [CUSTOMER, USAGE_HISTORY],
    act: "clear",
    fields: [0x11, 0x12, 0x13, CONTRACT_NUMBER],
  },
  { name: "new_pps", change: [CUSTOMER, CONNECTION], delete: [], act: "enrol", fields: [CONTRACT_NUMBER] },
  { name: "moved", change: [CUSTOMER, 3], delete: [], act: null, fields: [0x31, 0x12, 0x13] },
  { name: "equipment", change: [4], delete: [], act: null, fields: [0x41, 0x42, 0x43] },
];

/** What this session has done and its user has said; in memory alone. */
export interface Course {
  /** Done, said to have been done before, or found done by a flow that went on to the contract number. */
  readonly acts: Set<Act>;
  readonly changed: Set<number>;
  readonly stays: Set<number>;
  /** What was typed into forms and not taken yet. */
  readonly typed: Map<number, string>;
}

export function newCourse(): Course {
  return { acts: new Set(), changed: new Set(), stays: new Set(), typed: new Map() };
}

export function noteChanged(course: Course, ids: Iterable<number>): void {
  for (const id of ids) {
    course.changed.add(id);
    course.stays.delete(id);
    course.typed.delete(id);
  }
}

export function noteGone(course: Course, ids: Iterable<number>): void {
  for (const id of ids) {
    course.changed.delete(id);
    course.stays.delete(id);
    course.typed.delete(id);
  }
}

export type StepState = "done" | "next" | "later" | "stays";

export interface Step {
  readonly what: Act | FieldId;
  readonly state: StepState;
}

/** What the module was seen to hold, by group. */
export type Seen = ReadonlyMap<number, Values>;

export function offered(status: Pick<Status, "change" | "delete">): Flow[] {
  return FLOWS.filter(
    (flow) =>
      flow.change.every((group) => allows(status.change, group)) &&
      flow.delete.every((group) => allows(status.delete, group)),
  );
}

/** "" where it is not set, undefined where the scope does not let it be seen. */
export function known(id: number, see: number, seen: Seen): string | undefined {
  const group = (id >> 4) as Group;
  return allows(see, group) ? seen.get(group)?.get(id) : undefined;
}

/** Whether the module's own state cannot say that clear or enrol is done, so that its user may. */
export function mayPass(flow: Flow, see: number): boolean {
  return flow.act !== null && !allows(see, CUSTOMER);
}

/** Whether clear or enrol is done. */
export function isActDone(flow: Flow, see: number, seen: Seen, course: Course): boolean {
  return flow.act === null || course.acts.has(flow.act) || known(CONTRACT_NUMBER, see, seen) === "";
}

export function steps(flow: Flow, see: number, seen: Seen, course: Course): Step[] {
  const found: Step[] = [];
  let due = true;
  const add = (what: Act | FieldId, settled: StepState | null): void => {
    found.push({ what, state: settled ?? (due ? "next" : "later") });
    due &&= settled !== null;
  };
  if (flow.act === null) {
    for (const id of flow.fields) {
      add(id, course.changed.has(id) ? "done" : course.stays.has(id) ? "stays" : null);
    }
    return found;
  }
  add(flow.act, isActDone(flow, see, seen, course) ? "done" : null);
  for (const id of flow.fields) {
    // Each waits for the one before it: the contract number comes last.
    add(id, due && isSet(id, see, seen, course) ? "done" : null);
  }
  return found;
}

function isSet(id: number, see: number, seen: Seen, course: Course): boolean {
  const value = known(id, see, seen);
  return value === undefined ? course.changed.has(id) : value !== "";
}

/** What a form's text is for a field to begin with. Where all may stay as it is, what is left empty does. */
export function firstText(flow: Flow, id: FieldId, see: number, seen: Seen): string {
  return flow.act === null ? "" : (known(id, see, seen) ?? "");
}

/** before: this one is empty, and one after it is not; nothing: all are empty. */
export type FormFault = { readonly id: FieldId; readonly fault: FieldReason | "before" | "nothing" };
export interface Taken {
  readonly edits: ReadonlyMap<FieldId, string>;
  readonly stays: readonly FieldId[];
}

/** What the texts of a flow's form change and leave, or what is wrong with the first that is. */
export function takeForm(
  flow: Flow,
  texts: ReadonlyMap<number, string>,
  see: number,
  seen: Seen,
  course: Course,
): Taken | FormFault {
  const edits = new Map<FieldId, string>();
  const stays: FieldId[] = [];
  let missing: FieldId | null = null;
  let filled = false;
  for (const id of flow.fields) {
    const checked = check(id, texts.get(id) ?? "");
    const old = known(id, see, seen);
    if ("value" in checked) {
      if (missing !== null) {
        return { id: missing, fault: "before" };
      }
      filled = true;
      if (checked.value !== old) {
        edits.set(id, checked.value);
      } else if (flow.act === null) {
        stays.push(id);
      }
    } else if (checked.reason !== "empty" || (flow.act !== null && old)) {
      return { id, fault: checked.reason };
    } else if (flow.act === null) {
      stays.push(id);
    } else if (!isSet(id, see, seen, course)) {
      missing ??= id;
    }
  }
  if (!filled) {
    return { id: missing ?? flow.fields[0]!, fault: "nothing" };
  }
  return !edits.size && missing !== null ? { id: missing, fault: "before" } : { edits, stays };
}

/** A form was taken: what stays does, and what is done while there is no contract number stays so when there is one. */
export function noteTaken(flow: Flow, course: Course, { edits, stays }: Taken): void {
  for (const id of flow.fields) {
    course.typed.delete(id);
    course.stays.delete(id);
  }
  stays.forEach((id) => course.stays.add(id));
  if (flow.act !== null && edits.has(CONTRACT_NUMBER)) {
    course.acts.add(flow.act);
  }
}
