/** How far a guided flow is, and what its form amounts to (docs/lifecycle.md). */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  CONTRACT_NUMBER,
  type Course,
  FLOWS,
  type Flow,
  type Seen,
  isActDone,
  mayPass,
  newCourse,
  noteChanged,
  noteGone,
  noteTaken,
  offered,
  steps,
  takeForm,
} from "../src/flows";

const ALL = 0b111110;
const [RESIDENT, PPS, MOVED, EQUIPMENT] = FLOWS as [Flow, Flow, Flow, Flow];
const [NAME, POSTAL, ADDRESS] = [0x11, 0x12, 0x13] as const;

function customer(name: string, postal: string, address: string, contract: string): Seen {
  const values = [
    [NAME, name],
    [POSTAL, postal],
    [ADDRESS, address],
    [CONTRACT_NUMBER, contract],
  ] as const;
  return new Map([[1, new Map(values)]]);
}

const states = (flow: Flow, see: number, seen: Seen, course: Course): string =>
  steps(flow, see, seen, course)
    .map(({ state }) => state)
    .join(" ");

const FULL = customer("Sato", "1000001", "Tokyo", "C-1");
const EMPTY = customer("", "", "", "");

test("a flow is offered where the scope has all that it needs", () => {
  const names = (change: number, remove: number): string =>
    offered({ change, delete: remove })
      .map(({ name }) => name)
      .join(" ");
  assert.equal(names(ALL, ALL), "new_resident new_pps moved equipment");
  assert.equal(names(0b000010, 0b000110), "new_resident");
  assert.equal(names(0b000010, 0b000010), "");
  assert.equal(names(0b000010, 0b000100), "");
  assert.equal(names(0b100010, 0), "new_pps");
  assert.equal(names(0b100000, 0), "");
  assert.equal(names(0b001010, 0), "moved");
  assert.equal(names(0b001000, ALL), "");
  assert.equal(names(0b010000, 0), "equipment");
});

test("clear is due while there is a contract number, and nothing after it is done", () => {
  assert.equal(states(RESIDENT, ALL, FULL, newCourse()), "next later later later later");
  assert.equal(states(RESIDENT, ALL, EMPTY, newCourse()), "done next later later later");
  assert.equal(states(PPS, ALL, FULL, newCourse()), "next later");
  assert.equal(states(PPS, ALL, EMPTY, newCourse()), "done next");
});

test("a flow that was broken off goes on where it was, each field after the one before it", () => {
  assert.equal(states(RESIDENT, ALL, customer("Ito", "", "", ""), newCourse()), "done done next later later");
  assert.equal(states(RESIDENT, ALL, customer("Ito", "", "Osaka", ""), newCourse()), "done done next later later");
  assert.equal(states(RESIDENT, ALL, customer("Ito", "1", "Osaka", ""), newCourse()), "done done done done next");
});

test("what this session did stays done once the contract number is there again", () => {
  const course = newCourse();
  course.acts.add("clear");
  assert.equal(states(RESIDENT, ALL, FULL, course), "done done done done done");
  assert.equal(states(PPS, ALL, FULL, course), "next later");
});

test("clear stays done once a flow has gone on to the contract number; who looked at it has cleared nothing", () => {
  const course = newCourse();
  const part = customer("Ito", "5300001", "Osaka", "");
  noteTaken(RESIDENT, course, { edits: new Map([[NAME, "Ito"]]), stays: [] });
  noteTaken(PPS, course, { edits: new Map([[CONTRACT_NUMBER, "C-2"]]), stays: [] });
  assert.equal(states(RESIDENT, ALL, part, course), "done done done done next");
  assert.equal(states(PPS, ALL, FULL, course), "done done");
  assert.equal(states(RESIDENT, ALL, FULL, course), "next later later later later");
  noteTaken(RESIDENT, course, { edits: new Map([[CONTRACT_NUMBER, "C-2"]]), stays: [] });
  assert.equal(states(RESIDENT, ALL, FULL, course), "done done done done done");
});

test("unseen, a step is done by what this session did alone, and clear can be passed over", () => {
  for (const see of [0, 0b111100]) {
    const course = newCourse();
    assert.ok(mayPass(RESIDENT, see) && mayPass(PPS, see) && !mayPass(MOVED, see) && !mayPass(RESIDENT, 0b10));
    // What is remembered from elsewhere counts for nothing where it may not be seen.
    assert.equal(states(RESIDENT, see, EMPTY, course), "next later later later later");
    assert.equal(isActDone(RESIDENT, see, EMPTY, course), false);
    noteChanged(course, [NAME, POSTAL]);
    assert.equal(states(RESIDENT, see, new Map(), course), "next later later later later");
    course.acts.add("clear");
    assert.equal(states(RESIDENT, see, new Map(), course), "done done done next later");
    noteGone(course, [NAME]);
    assert.equal(states(RESIDENT, see, new Map(), course), "done next later later later");
  }
});

test("where each field stands for itself, it is done when changed or said to stay, whatever it holds", () => {
  const course = newCourse();
  assert.equal(states(MOVED, ALL, FULL, course), "next later later");
  noteChanged(course, [POSTAL]);
  assert.equal(states(MOVED, ALL, FULL, course), "next done later");
  course.stays.add(0x31);
  assert.equal(states(MOVED, ALL, FULL, course), "stays done next");
  noteChanged(course, [0x31]);
  assert.equal(states(MOVED, 0, new Map(), course), "done done next");
  assert.equal(states(EQUIPMENT, ALL, new Map(), newCourse()), "next later later");
});

const texts = (...typed: readonly (readonly [number, string])[]): Map<number, string> => new Map(typed);

test("a form in order takes them from the top: the contract number never before another", () => {
  const cleared = newCourse();
  cleared.acts.add("clear");
  const all = texts([NAME, "Ito"], [POSTAL, "530-0001"], [ADDRESS, "Osaka"], [CONTRACT_NUMBER, "c-2"]);
  assert.deepEqual(takeForm(RESIDENT, all, ALL, EMPTY, cleared), {
    edits: new Map<number, string>([
      [NAME, "Ito"],
      [POSTAL, "5300001"],
      [ADDRESS, "Osaka"],
      [CONTRACT_NUMBER, "C-2"],
    ]),
    stays: [],
  });
  for (const [see, seen] of [
    [ALL, EMPTY],
    [0, new Map()],
  ] as const) {
    const part = takeForm(RESIDENT, texts([NAME, "Ito"]), see, seen, cleared);
    assert.deepEqual(part, { edits: new Map([[NAME, "Ito"]]), stays: [] });
    const gap = texts([NAME, "Ito"], [ADDRESS, " "], [CONTRACT_NUMBER, "C-2"]);
    assert.deepEqual(takeForm(RESIDENT, gap, see, seen, cleared), { id: POSTAL, fault: "before" });
    assert.deepEqual(takeForm(RESIDENT, texts(), see, seen, cleared), { id: NAME, fault: "nothing" });
  }
  const wrong = texts([NAME, "Ito"], [POSTAL, "12"]);
  assert.deepEqual(takeForm(RESIDENT, wrong, ALL, EMPTY, cleared), { id: POSTAL, fault: "too_short" });
});

test("what is set already is no gap, and cannot be emptied here", () => {
  const seen = customer("Ito", "5300001", "", "");
  const course = newCourse();
  const rest = texts([NAME, "Ito"], [POSTAL, "5300001"], [ADDRESS, "Osaka"]);
  assert.deepEqual(takeForm(RESIDENT, rest, ALL, seen, course), { edits: new Map([[ADDRESS, "Osaka"]]), stays: [] });
  const same = texts([NAME, "Ito"], [POSTAL, "5300001"]);
  assert.deepEqual(takeForm(RESIDENT, same, ALL, seen, course), { id: ADDRESS, fault: "before" });
  const emptied = texts([POSTAL, "5300001"], [ADDRESS, "Osaka"]);
  assert.deepEqual(takeForm(RESIDENT, emptied, ALL, seen, course), { id: NAME, fault: "empty" });
  noteChanged(course, [NAME, POSTAL, ADDRESS]);
  const last = texts([CONTRACT_NUMBER, "C-2"]);
  assert.deepEqual(takeForm(RESIDENT, last, 0, new Map(), course), {
    edits: new Map([[CONTRACT_NUMBER, "C-2"]]),
    stays: [],
  });
});

test("in a free form what is left empty, or typed as it is, stays", () => {
  const seen: Seen = new Map([[4, new Map([[0x41, "5000"]])]]);
  const typed = texts([0x41, "05000"], [0x42, "9000"]);
  assert.deepEqual(takeForm(EQUIPMENT, typed, ALL, seen, newCourse()), {
    edits: new Map([[0x42, "9000"]]),
    stays: [0x41, 0x43],
  });
  assert.deepEqual(takeForm(EQUIPMENT, texts(), ALL, seen, newCourse()), { id: 0x41, fault: "nothing" });
  const wrong = texts([0x43, "0"]);
  assert.deepEqual(takeForm(EQUIPMENT, wrong, ALL, seen, newCourse()), { id: 0x43, fault: "out_of_range" });
});
