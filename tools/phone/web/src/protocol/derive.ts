/** From password and ID to w0 and w1 (docs/api.md; RFC 9383, section 3.2). */

import { expand } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { type Bytes, concat, hex, uint, utf8 } from "./bytes";

export const ITERATIONS_MIN = 1_000;
export const ITERATIONS_MAX = 100_000;
const HALF = 40;
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

export interface Secrets {
  readonly w0: bigint;
  readonly w1: bigint;
}

/** The module asks for fewer iterations than are safe, or more than a phone should do (S2). */
export class BadIterations extends Error {
  override readonly name = "BadIterations";
}

/** WebCrypto does the iterations outside of the page's thread, so that the page goes on. */
export async function deriveSecrets(
  password: string,
  userId: string,
  serial: string,
  salt: Bytes,
  iterations: number,
): Promise<Secrets> {
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    throw new BadIterations();
  }
  const input = concat(...[password, userId, serial].map(behindLength));
  const key = await crypto.subtle.importKey("raw", input, "PBKDF2", false, ["deriveBits"]);
  input.fill(0);
  const stretched = await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256);
  const wide = expand(sha256, new Uint8Array(stretched), utf8("inkan w0w1"), 2 * HALF);
  return { w0: modulo(wide.subarray(0, HALF)), w1: modulo(wide.subarray(HALF)) };
}

function behindLength(text: string): Bytes {
  const bytes = utf8(text);
  return concat(uint(bytes.length, 8), bytes);
}

function modulo(bytes: Uint8Array): bigint {
  return BigInt(`0x${hex(bytes)}`) % ORDER;
}
