/** The worked example of docs/protocol.md, with this page's code. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Bytes, concat, hex, uint, utf8 } from "../src/protocol/bytes";
import { Channel, resumeKey, resumeMac, resumedMac } from "../src/protocol/channel";
import { deriveSecrets } from "../src/protocol/derive";
import { FrameReader, FrameType, encodeFrame } from "../src/protocol/frames";
import { parseInfo } from "../src/protocol/info";
import { change, parseAnswer } from "../src/protocol/messages";
import { Prover } from "../src/protocol/spake2plus";
import { bytesOf, vectors } from "./shared";

const given = (name: string, which = 0): Bytes => {
  const found = vectors.example.filter(([key]) => key === name)[which];
  assert.ok(found, name);
  return bytesOf(found[1]);
};
const bodyOf = (frame: Bytes): Bytes => new FrameReader().push(frame)[0]!.body;

test("the worked example", async () => {
  assert.equal(hex(encodeFrame(FrameType.askInfo)), hex(given("> ask info")));
  const info = parseInfo(bodyOf(given("< info")));
  assert.deepEqual([info.serial, info.iterations, info.passwordDigits], ["INK-00000001", 1000, 8]);

  const secrets = await deriveSecrets("87654321", "12345678", info.serial, info.salt, info.iterations);
  assert.equal(secrets.w0, BigInt(`0x${hex(given("w0"))}`));
  assert.equal(secrets.w1, BigInt(`0x${hex(given("w1"))}`));
  const prover = new Prover(secrets, BigInt(`0x${hex(given("x"))}`));
  assert.equal(hex(encodeFrame(FrameType.shareP, prover.shareP)), hex(given("> share P")));
  const share = bodyOf(given("< share V"));
  const { confirmP, kShared } = prover.finish(share.subarray(0, 65), share.subarray(65), {
    context: concat(utf8("inkan phone 1"), info.salt, uint(info.iterations, 4)),
    idProver: new Uint8Array(0),
    idVerifier: utf8(info.serial),
  });
  assert.equal(hex(kShared), hex(given("K_shared")));
  assert.equal(hex(encodeFrame(FrameType.confirmP, confirmP)), hex(given("> confirm P")));

  const channel = await Channel.derive(kShared);
  const status = await channel.open(bodyOf(given("< sealed", 0)));
  assert.equal(hex(status), hex(given("status")));
  const told = parseAnswer(status);
  assert.ok(told.kind === "status" && told.status.changesLeft === 20 && told.status.idleS === 180);
  assert.equal(hex(change(1, 1, new Map([[0x11, "山田"]]))), hex(given("change")));
  assert.equal(hex(await channel.open(bodyOf(given("< sealed", 1)))), hex(given("result")));

  const key = resumeKey(kShared);
  assert.equal(hex(concat(key.sessionId, key.macKey)), hex(given("resume")));
  const resume = given("> resume").slice(3);
  const nonceP = resume.slice(12, 28);
  assert.equal(hex(resume), hex(concat(key.sessionId, uint(1, 4), nonceP, resumeMac(key, 1, nonceP))));
  const resumed = bodyOf(given("< resumed"));
  const nonceM = resumed.slice(0, 16);
  assert.equal(hex(resumed.slice(16)), hex(resumedMac(key, 1, nonceP, nonceM)));
});
