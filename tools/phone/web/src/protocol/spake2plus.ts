/** SPAKE2+ (RFC 9383) with P-256, SHA-256, HKDF and HMAC: the prover's half, the phone's. */

import { p256 } from "@noble/curves/nist.js";
import { expand, extract } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { type Bytes, concat, hex, randomBytes, sameBytes, uint, utf8 } from "./bytes";
import type { Secrets } from "./derive";

const Point = p256.Point;
const ORDER = Point.Fn.ORDER;
// Section 4. Nobody knows their logarithms.
const M = Point.fromHex("02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f");
const N = Point.fromHex("03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49");
const SHARE_SIZE = 65;
const UNCOMPRESSED = 0x04;

/** The module's share is no point of the curve, or leads to the identity. */
export class BadShare extends Error {
  override readonly name = "BadShare";
}

/** confirmV does not hold: a wrong ID or password, or no module before us. */
export class WrongProof extends Error {
  override readonly name = "WrongProof";
}

export interface Identities {
  readonly context: Uint8Array;
  readonly idProver: Uint8Array;
  readonly idVerifier: Uint8Array;
}

/** One exchange. x is drawn unless a test gives it. */
export class Prover {
  readonly shareP: Bytes;
  private x: bigint;

  constructor(
    private readonly secrets: Secrets,
    x?: bigint,
  ) {
    this.x = x ?? (BigInt(`0x${hex(randomBytes(40))}`) % (ORDER - 1n)) + 1n;
    this.shareP = encode(Point.BASE.multiply(this.x).add(M.multiply(secrets.w0)));
  }

  /** confirmP and K_shared (32 bytes), once. Throws `BadShare` or `WrongProof`. */
  finish(shareV: Uint8Array, confirmV: Uint8Array, identities: Identities): { confirmP: Bytes; kShared: Bytes } {
    const { w0, w1 } = this.secrets;
    const blinded = decode(shareV).subtract(N.multiply(w0));
    if (!this.x || blinded.is0()) {
      throw new BadShare();
    }
    const z = encode(blinded.multiply(this.x));
    const v = encode(blinded.multiply(w1));
    this.x = 0n;
    const { context, idProver, idVerifier } = identities;
    const parts = [context, idProver, idVerifier, encode(M), encode(N), this.shareP, shareV, z, v, scalar(w0)];
    const main = sha256(concat(...parts.map((part) => concat(uint(part.length, 8), part))));
    const prk = extract(sha256, main, new Uint8Array(0));
    const confirmation = expand(sha256, prk, utf8("ConfirmationKeys"), 64);
    if (!sameBytes(hmac(sha256, confirmation.subarray(32), this.shareP), confirmV)) {
      throw new WrongProof();
    }
    return {
      confirmP: hmac(sha256, confirmation.subarray(0, 32), shareV) as Bytes,
      kShared: expand(sha256, prk, utf8("SharedKey"), 32) as Bytes,
    };
  }
}

function encode(point: typeof Point.BASE): Bytes {
  return point.toBytes(false) as Bytes;
}

function decode(bytes: Uint8Array): typeof Point.BASE {
  if (bytes.length !== SHARE_SIZE || bytes[0] !== UNCOMPRESSED) {
    throw new BadShare();
  }
  try {
    const point = Point.fromBytes(bytes);
    point.assertValidity();
    return point;
  } catch {
    throw new BadShare();
  }
}

function scalar(value: bigint): Bytes {
  return Uint8Array.from(value.toString(16).padStart(64, "0").match(/../g)!, (pair) => parseInt(pair, 16));
}
