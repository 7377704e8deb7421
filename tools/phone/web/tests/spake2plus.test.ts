/** The prover's half of SPAKE2+: RFC 9383's vectors, the derivation, and all that is refused. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { hex, utf8 } from "../src/protocol/bytes";
import { BadIterations, deriveSecrets } from "../src/protocol/derive";
import { BadShare, Prover, WrongProof } from "../src/protocol/spake2plus";
import { bytesOf, vectors } from "./shared";

// RFC 9383, appendix C, SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256.
const SECRETS = {
  w0: 0xbb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3n,
  w1: 0x7e945f34d78785b8a3ef44d0df5a1a97d6b3b460409a345ca7830387a74b1dban,
};
const X = 0xd1232c8e8693d02368976c174e2088851b8365d0d79a9eee709c6a05a2fad539n;
const SHARE_P =
  "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1" +
  "de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727";
const SHARE_V =
  "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb" +
  "5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048";
const CONFIRM_V = "9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68";
const CONFIRM_P = "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527";
const K_SHARED = "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7";
const IDENTITIES = {
  context: utf8("SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors"),
  idProver: utf8("client"),
  idVerifier: utf8("server"),
};

test("RFC 9383: shareP, confirmP and K_shared", () => {
  const prover = new Prover(SECRETS, X);
  assert.equal(hex(prover.shareP), SHARE_P);
  const { confirmP, kShared } = prover.finish(bytesOf(SHARE_V), bytesOf(CONFIRM_V), IDENTITIES);
  assert.equal(hex(confirmP), CONFIRM_P);
  assert.equal(hex(kShared), K_SHARED);
});

test("confirmV of which one bit is another does not hold, nor does one of another context", () => {
  for (let bit = 0; bit < 256; bit++) {
    const confirmV = bytesOf(CONFIRM_V);
    confirmV[bit >> 3]! ^= 1 << (bit & 7);
    if (bit % 37 === 0) {
      assert.throws(() => new Prover(SECRETS, X).finish(bytesOf(SHARE_V), confirmV, IDENTITIES), WrongProof);
    }
  }
  for (const changed of [{ context: utf8("x") }, { idProver: utf8("") }, { idVerifier: utf8("Server") }]) {
    const identities = { ...IDENTITIES, ...changed };
    assert.throws(() => new Prover(SECRETS, X).finish(bytesOf(SHARE_V), bytesOf(CONFIRM_V), identities), WrongProof);
  }
});

test("a share that is no point, is compressed, at infinity, or w0*N itself is refused", () => {
  const off = bytesOf(SHARE_V);
  off[64]! ^= 1;
  const beyond = bytesOf(`04${"ff".repeat(64)}`);
  const w0N = new Prover({ w0: SECRETS.w0, w1: 1n }, 1n);
  const compressed = bytesOf("03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49");
  assert.ok(w0N.shareP.length === 65);
  for (const share of [off, beyond, compressed, new Uint8Array(65), new Uint8Array(0), bytesOf("00")]) {
    assert.throws(() => new Prover(SECRETS, X).finish(share, bytesOf(CONFIRM_V), IDENTITIES), BadShare);
  }
  // N itself as share, with w0 = 1: Y - w0*N is the identity.
  const n = bytesOf(
    "04d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49" +
      "07d60aa6bfade45008a636337f5168c64d9bd36034808cd564490b1e656edbe7",
  );
  assert.throws(() => new Prover({ w0: 1n, w1: 1n }, X).finish(n, bytesOf(CONFIRM_V), IDENTITIES), BadShare);
});

test("an exchange serves once, and no two are alike", () => {
  const prover = new Prover(SECRETS, X);
  prover.finish(bytesOf(SHARE_V), bytesOf(CONFIRM_V), IDENTITIES);
  assert.throws(() => prover.finish(bytesOf(SHARE_V), bytesOf(CONFIRM_V), IDENTITIES), BadShare);
  assert.notEqual(hex(new Prover(SECRETS).shareP), hex(new Prover(SECRETS).shareP));
});

test("the derivation is the server's", async () => {
  const { password, userId, serial, salt, iterations, w0, w1 } = vectors.derivation;
  const secrets = await deriveSecrets(password, userId, serial, bytesOf(salt), iterations);
  assert.equal(secrets.w0, BigInt(w0));
  assert.equal(secrets.w1, BigInt(w1));
});

test("too few and too many iterations are refused (S2)", async () => {
  for (const iterations of [0, 1, 999, 100_001, 0xffffffff]) {
    await assert.rejects(deriveSecrets("1", "2", "3", new Uint8Array(16), iterations), BadIterations);
  }
});
