/** Sealed frames and the keys for them (docs/protocol.md, "Keys", "Sealed frames"). */

import { expand } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { type Bytes, concat, randomBytes, sameBytes, uint, utf8 } from "./bytes";
import { FrameType, SEALED_MAX, SEALED_MIN } from "./frames";

export const MESSAGE_MAX = 959;
const IV_SIZE = 16;
const TAG_SIZE = 32;
const EMPTY = new Uint8Array(0);

/** A sealed frame that does not open: one failure for all that may be wrong with it (S16). */
export class BadSeal extends Error {
  override readonly name = "BadSeal";
}

/** What the session's resumptions are proved with. */
export interface ResumeKey {
  readonly sessionId: Bytes;
  readonly macKey: Bytes;
}

export function resumeKey(kShared: Bytes): ResumeKey {
  const bytes = expand(sha256, kShared, utf8("inkan resume 1"), 40) as Bytes;
  return { sessionId: bytes.slice(0, 8), macKey: bytes.slice(8) };
}

export function resumeMac(key: ResumeKey, turn: number, nonceP: Bytes): Bytes {
  return hmac(sha256, key.macKey, concat(utf8("resume"), key.sessionId, uint(turn, 4), nonceP)) as Bytes;
}

export function resumedMac(key: ResumeKey, turn: number, nonceP: Bytes, nonceM: Bytes): Bytes {
  return hmac(sha256, key.macKey, concat(utf8("resumed"), key.sessionId, uint(turn, 4), nonceP, nonceM)) as Bytes;
}

/** One direction: its keys, and the number of the next frame, which is not sent. */
class Direction {
  private counter = 0;

  constructor(
    readonly cipherKey: CryptoKey,
    private readonly macKey: Bytes,
    private readonly type: number,
  ) {}

  /** The tag of the next frame; the next one after it is another. */
  tag(iv: Uint8Array, ciphertext: Uint8Array): Bytes {
    const context = concat(uint(this.type, 1), uint(this.counter++, 8));
    return hmac(sha256, this.macKey, concat(uint(context.length, 2), context, iv, ciphertext)) as Bytes;
  }

  forget(): void {
    this.macKey.fill(0);
  }
}

/** Seals what goes to the module and opens what comes from it. Not to be called again before a call is done. */
export class Channel {
  private constructor(
    private readonly out: Direction,
    private readonly into: Direction,
  ) {}

  /** The channel of a handshake (no nonces) or of a resumption. */
  static async derive(kShared: Bytes, nonceP: Bytes = EMPTY, nonceM: Bytes = EMPTY): Promise<Channel> {
    const label = concat(utf8("inkan channel 1"), nonceP, nonceM);
    const keys = expand(sha256, kShared, label, 128) as Bytes;
    const out = new Direction(await cipherKey(keys.slice(0, 32), "encrypt"), keys.slice(32, 64), FrameType.sealed);
    const into = new Direction(
      await cipherKey(keys.slice(64, 96), "decrypt"),
      keys.slice(96),
      FrameType.sealedByModule,
    );
    keys.fill(0);
    return new Channel(out, into);
  }

  /** Body of a sealed frame. RangeError if the message is too long. */
  async seal(message: Uint8Array): Promise<Bytes> {
    if (message.length < 1 || message.length > MESSAGE_MAX) {
      throw new RangeError("message too long");
    }
    const iv = randomBytes(IV_SIZE);
    const plain = new Uint8Array(message);
    const ciphertext = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, this.out.cipherKey, plain));
    return concat(iv, ciphertext, this.out.tag(iv, ciphertext));
  }

  /** Message of a sealed frame's body: length, tag, decryption, padding, in this order. Throws `BadSeal`. */
  async open(body: Bytes): Promise<Bytes> {
    if (body.length < SEALED_MIN || body.length > SEALED_MAX || (body.length - SEALED_MIN) % 16) {
      throw new BadSeal();
    }
    const iv = body.slice(0, IV_SIZE);
    const ciphertext = body.slice(IV_SIZE, -TAG_SIZE);
    if (!sameBytes(this.into.tag(iv, ciphertext), body.subarray(body.length - TAG_SIZE))) {
      throw new BadSeal();
    }
    try {
      return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, this.into.cipherKey, ciphertext));
    } catch {
      throw new BadSeal();
    }
  }

  forget(): void {
    this.out.forget();
    this.into.forget();
  }
}

async function cipherKey(bytes: Bytes, use: "encrypt" | "decrypt"): Promise<CryptoKey> {
  const key = await crypto.subtle.importKey("raw", bytes, "AES-CBC", false, [use]);
  bytes.fill(0);
  return key;
}
