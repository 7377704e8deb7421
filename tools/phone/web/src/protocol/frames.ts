/** Frames (docs/protocol.md, "Frames"): cut out of a stream of bytes, and put into one. */

import { type Bytes, Malformed, Reader, concat, uint } from "./bytes";

export const FrameType = {
  askInfo: 0x01,
  shareP: 0x02,
  confirmP: 0x03,
  giveUp: 0x04,
  resume: 0x05,
  sealed: 0x06,
  info: 0x81,
  shareV: 0x82,
  resumed: 0x85,
  sealedByModule: 0x86,
  refused: 0x8f,
} as const;

export interface Frame {
  readonly type: number;
  readonly body: Bytes;
}

export const REFUSALS = [
  "wrong",
  "no_credential",
  "no_time",
  "locked",
  "busy",
  "delayed",
  "tampered",
  "malformed",
  "bad_share",
  "timeout",
  "no_session",
  "failed",
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** The module does not do what it was asked. failuresLeft: null for more than it says. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly code: Refusal,
    readonly failuresLeft: number | null,
    readonly delayMs: number,
  ) {
    super(code);
  }
}

const MORE = 255;
const LENGTH_MAX = 1024;
export const SEALED_MIN = 16 + 16 + 32;
export const SEALED_MAX = 16 + 960 + 32;

/** Least and most bytes of a body, of the frames that a module sends. */
const SIZES: Readonly<Record<number, readonly [number, number]>> = {
  [FrameType.info]: [33, 33 + 32],
  [FrameType.shareV]: [65 + 32, 65 + 32],
  [FrameType.resumed]: [16 + 32, 16 + 32],
  [FrameType.sealedByModule]: [SEALED_MIN, SEALED_MAX],
  [FrameType.refused]: [6, 6],
};

export function encodeFrame(type: number, ...body: readonly Uint8Array[]): Bytes {
  const content = concat(uint(type, 1), ...body);
  return concat(uint(content.length, 2), content);
}

/** Takes bytes as they come, and gives whole frames. Holds no more than one frame and what came with its end. */
export class FrameReader {
  private buffer: Bytes = new Uint8Array(0);

  /** Frames that are complete now; `Malformed` for what can be none. */
  push(bytes: Uint8Array): Frame[] {
    this.buffer = concat(this.buffer, bytes);
    const frames: Frame[] = [];
    for (;;) {
      if (this.buffer.length < 2) {
        return frames;
      }
      const length = this.buffer[0]! + 256 * this.buffer[1]!;
      if (length < 1 || length > LENGTH_MAX) {
        throw new Malformed("length");
      }
      const type = this.buffer[2];
      if (type !== undefined) {
        const sizes = SIZES[type];
        if (!sizes || length - 1 < sizes[0] || length - 1 > sizes[1]) {
          throw new Malformed("type or size");
        }
      }
      if (this.buffer.length < 2 + length) {
        return frames;
      }
      frames.push({ type: type!, body: this.buffer.slice(3, 2 + length) });
      this.buffer = this.buffer.slice(2 + length);
    }
  }

  /** Whether a frame has begun and is not complete. */
  get waiting(): boolean {
    return this.buffer.length > 0;
  }
}

export function parseRefused(body: Bytes): Refused {
  const reader = new Reader(body);
  const code = REFUSALS[reader.uint(1) - 1];
  const left = reader.uint(1);
  const delayMs = reader.uint(4);
  reader.end();
  if (!code) {
    throw new Malformed("refusal");
  }
  return new Refused(code, left === MORE ? null : left, delayMs);
}
