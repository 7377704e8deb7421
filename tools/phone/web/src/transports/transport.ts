/** What every carrier offers: bytes to and from one module. */

import type { Bytes } from "../protocol/bytes";

export type LinkFault = "unreachable" | "closed" | "timeout" | "offline" | "cancelled";

/** There is no link, or it is over; another one may be tried. */
export class LinkError extends Error {
  override readonly name = "LinkError";

  constructor(readonly fault: LinkFault) {
    super(fault);
  }
}

/** A way to one module. It can be opened again after it was closed: that is a new link, with empty streams. */
export interface Transport {
  /** Throws `LinkError`. */
  open(): Promise<void>;
  /** The next bytes, as they come. Throws `LinkError` once the link is over, whoever ended it. */
  read(): Promise<Bytes>;
  /** Hands over one whole frame; resolved when the carrier has taken it. Throws `LinkError`. */
  write(frame: Bytes): Promise<void>;
  /** Ends the link, if there is one. Never throws. */
  close(): Promise<void>;
}

/** What came and was not read yet, at most `LIMIT` pieces: a peer that sends more is no module. */
export class Inbox {
  private static readonly LIMIT = 256;
  private pieces: Bytes[] = [];
  private fault: LinkError | null = null;
  private waiting: { resolve: (piece: Bytes) => void; reject: (error: LinkError) => void } | null = null;

  put(piece: Bytes): void {
    if (this.waiting) {
      this.waiting.resolve(piece);
      this.waiting = null;
    } else if (this.pieces.push(piece) > Inbox.LIMIT) {
      this.end("closed");
    }
  }

  /** What came before is still read; then every read throws. The first end counts. */
  end(fault: LinkFault): void {
    this.fault ??= new LinkError(fault);
    this.waiting?.reject(this.fault);
    this.waiting = null;
  }

  get over(): boolean {
    return this.fault !== null;
  }

  async read(): Promise<Bytes> {
    const piece = this.pieces.shift();
    if (piece) {
      return piece;
    }
    if (this.fault) {
      throw this.fault;
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }
}

/** The promise, or `LinkError` timeout. */
export async function within<Value>(timeoutMs: number, promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LinkError("timeout")), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
