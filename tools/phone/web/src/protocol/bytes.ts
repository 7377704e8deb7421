/** Bytes, integers (little-endian) and text, as docs/protocol.md writes them. */

export type Bytes = Uint8Array<ArrayBuffer>;

/** What was received is not of this protocol. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** An unsigned integer of `size` bytes. RangeError if it does not fit. */
export function uint(value: number, size: 1 | 2 | 4 | 8): Bytes {
  if (!Number.isSafeInteger(value) || value < 0 || (size < 8 && value >= 2 ** (8 * size))) {
    throw new RangeError(`no unsigned integer of ${size} bytes`);
  }
  const bytes = new Uint8Array(size);
  let rest = value;
  for (let at = 0; at < size; at++) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

export function utf8(text: string): Bytes {
  return new Uint8Array(new TextEncoder().encode(text));
}

/** Text of bytes; `Malformed` if they are no UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("no text");
  }
}

/** Whether both are the same, in a time that says nothing about where they differ. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let at = 0; at < one.length; at++) {
    difference |= one[at]! ^ (other[at] ?? 0);
  }
  return difference === 0;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** Bytes of base64; `Malformed` if it is none. */
export function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw new Malformed("no base64");
  }
}

export function randomBytes(size: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(size));
}

/** Takes bytes apart from the front; `Malformed` where there are too few, or some are left. */
export class Reader {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  take(size: number): Bytes {
    if (this.at + size > this.bytes.length) {
      throw new Malformed("too short");
    }
    this.at += size;
    return this.bytes.slice(this.at - size, this.at) as Bytes;
  }

  uint(size: 1 | 2 | 4): number {
    return this.take(size).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  end(): void {
    if (this.left) {
      throw new Malformed("too long");
    }
  }
}
