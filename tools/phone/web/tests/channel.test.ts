/** Sealed frames against the firmware's own, frames cut out of a stream, and what neither lets through. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Malformed, concat, hex, uint, utf8 } from "../src/protocol/bytes";
import { BadSeal, Channel, MESSAGE_MAX, resumeKey } from "../src/protocol/channel";
import { FrameReader, FrameType, REFUSALS, encodeFrame, parseRefused } from "../src/protocol/frames";
import { STATES, UnknownVersion, parseInfo } from "../src/protocol/info";
import { ENDINGS, ENROL_REASONS, ERRORS, FIELD_REASONS, parseAnswer } from "../src/protocol/messages";
import { bytesOf, vectors } from "./shared";

const K_SHARED = bytesOf(vectors.sealed.kShared);

test("frames that the firmware has sealed open, in their order", async () => {
  const channel = await Channel.derive(K_SHARED);
  for (const [body, message] of vectors.sealed.frames) {
    assert.equal(hex(await channel.open(bytesOf(body))), message);
  }
});

test("a frame that is repeated, left out or changed anywhere does not open (S16)", async () => {
  const [first, second] = vectors.sealed.frames.map(([body]) => bytesOf(body));
  const skipped = await Channel.derive(K_SHARED);
  await assert.rejects(skipped.open(second!), BadSeal);
  const twice = await Channel.derive(K_SHARED);
  await twice.open(first!);
  await assert.rejects(twice.open(first!), BadSeal);
  for (let at = 0; at < first!.length; at++) {
    const changed = first!.slice();
    changed[at]! ^= 0x10;
    await assert.rejects((await Channel.derive(K_SHARED)).open(changed), BadSeal);
  }
  for (const size of [0, 1, 63, first!.length - 1]) {
    await assert.rejects((await Channel.derive(K_SHARED)).open(first!.slice(0, size)), BadSeal);
  }
});

test("what this end has sealed does not open here: directions have keys of their own", async () => {
  const channel = await Channel.derive(K_SHARED);
  await assert.rejects((await Channel.derive(K_SHARED)).open(await channel.seal(utf8("x"))), BadSeal);
});

test("the largest message has a place, a larger one has none, and no IV comes twice", async () => {
  const channel = await Channel.derive(K_SHARED);
  const large = await channel.seal(new Uint8Array(MESSAGE_MAX));
  assert.equal(encodeFrame(FrameType.sealed, large).length, 2 + 1 + 16 + 960 + 32);
  await assert.rejects(channel.seal(new Uint8Array(MESSAGE_MAX + 1)), RangeError);
  const ivs = new Set<string>();
  for (let count = 0; count < 50; count++) {
    ivs.add(hex((await channel.seal(utf8("x"))).slice(0, 16)));
  }
  assert.equal(ivs.size, 50);
});

test("session id and MAC key come out of K_shared", () => {
  const key = resumeKey(K_SHARED);
  assert.equal(key.sessionId.length, 8);
  assert.equal(key.macKey.length, 32);
});

test("frames are found however the stream is split", () => {
  const refused = encodeFrame(FrameType.refused, uint(6, 1), uint(3, 1), uint(4000, 4));
  const stream = concat(refused, encodeFrame(FrameType.resumed, new Uint8Array(48)), refused);
  for (const size of [1, 2, 3, 7, 20, stream.length]) {
    const reader = new FrameReader();
    const types: number[] = [];
    for (let at = 0; at < stream.length; at += size) {
      types.push(...reader.push(stream.subarray(at, at + size)).map((frame) => frame.type));
    }
    assert.deepEqual(types, [FrameType.refused, FrameType.resumed, FrameType.refused]);
    assert.equal(reader.waiting, false);
  }
  const told = parseRefused(new FrameReader().push(refused)[0]!.body);
  assert.deepEqual([told.code, told.failuresLeft, told.delayMs], ["delayed", 3, 4000]);
});

test("what can be no frame of a module is refused before it is complete", () => {
  for (const start of ["0000", "0104", "01000000", "010001", "070006", "420082", "0800 8f".replace(" ", "")]) {
    assert.throws(() => new FrameReader().push(bytesOf(start)), Malformed, start);
  }
});

test("info of another version is said to be one, other nonsense is malformed", () => {
  const info = concat(
    bytesOf("0101060514000800"),
    uint(10_000, 4),
    new Uint8Array(16),
    uint(0xffffffff, 4),
    uint(12, 1),
    utf8("INK-00000001"),
  );
  const parsed = parseInfo(info);
  assert.deepEqual(
    [parsed.state, parsed.hasPanel, parsed.inPanelBoard, parsed.recoveryWaits, parsed.failuresLeft, parsed.delayS],
    ["waiting", true, false, true, 5, 20],
  );
  assert.equal(parsed.secondsLeft, null);
  assert.equal(parsed.serial, "INK-00000001");
  assert.throws(() => parseInfo(concat(uint(2, 1), info.slice(1))), UnknownVersion);
  assert.throws(() => parseInfo(concat(uint(1, 1), uint(6, 1), info.slice(2))), Malformed);
  assert.throws(() => parseInfo(info.slice(0, -1)), Malformed);
  assert.throws(() => parseInfo(concat(info, uint(65, 1))), Malformed);
});

test("names have the numbers that the firmware gives them", () => {
  const { refusals, states, endings, errors, fieldReasons, enrolReasons } = vectors.names;
  assert.deepEqual(REFUSALS, refusals);
  assert.deepEqual(STATES, states);
  assert.deepEqual(ENDINGS, endings);
  assert.deepEqual(ERRORS, errors);
  assert.deepEqual(FIELD_REASONS, fieldReasons);
  assert.deepEqual(ENROL_REASONS, enrolReasons);
});

test("messages that no module sends are malformed", () => {
  for (const message of [
    "",
    "10",
    "90",
    "92000000000000",
    "920000000000000000",
    "9600",
    "9608",
    "9f090000",
    "9f04120b",
    "9f070009",
  ]) {
    assert.throws(() => parseAnswer(bytesOf(message)), Malformed, message);
  }
  assert.throws(() => parseAnswer(bytesOf("9101120000110000")), Malformed);
  assert.throws(() => parseAnswer(bytesOf("9101110200ff")), Malformed);
  assert.throws(() => parseAnswer(bytesOf("9101110100ff")), Malformed);
});
