/** What several tests use: vectors that pytest has written (tests/test_phone_page_units.py), and a link in memory. */

import { readFileSync } from "node:fs";

import { Inbox, LinkError, type Transport } from "../src/transports/transport";
import type { Bytes } from "../src/protocol/bytes";

export interface Vectors {
  readonly fields: readonly (readonly [number, string, { readonly value?: string; readonly reason?: string }])[];
  readonly derivation: {
    readonly password: string;
    readonly userId: string;
    readonly serial: string;
    readonly salt: string;
    readonly iterations: number;
    readonly w0: string;
    readonly w1: string;
  };
  readonly sealed: { readonly kShared: string; readonly frames: readonly (readonly [string, string])[] };
  /** The worked example of docs/protocol.md: hex, or text. */
  readonly example: readonly (readonly [string, string])[];
  readonly names: Readonly<
    Record<"refusals" | "states" | "endings" | "errors" | "fieldReasons" | "enrolReasons", string[]>
  >;
}

export const vectors = JSON.parse(readFileSync(process.env["INKAN_PHONE_VECTORS"]!, "utf-8")) as Vectors;

export function bytesOf(hex: string): Bytes {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** A transport whose other end is the test. Each `open` begins a new link. */
export class MemoryTransport implements Transport {
  inbox = new Inbox();
  opened = 0;
  readonly written: Bytes[] = [];
  /** Called with each frame; what it returns comes back. */
  answer: (frame: Bytes) => Bytes[] = () => [];

  async open(): Promise<void> {
    this.inbox = new Inbox();
    this.opened++;
  }

  read(): Promise<Bytes> {
    return this.inbox.read();
  }

  async write(frame: Bytes): Promise<void> {
    if (this.inbox.over) {
      throw new LinkError("closed");
    }
    this.written.push(frame);
    this.answer(frame).forEach((piece) => this.inbox.put(piece));
  }

  async close(): Promise<void> {
    this.inbox.end("closed");
  }
}
