/** The virtual house's radio over WebSocket: the operations of BLE, by JSON (docs/phone.md, "Virtual radio"). */

import { type Bytes, fromBase64, toBase64 } from "../protocol/bytes";
import type { ModuleState } from "../protocol/info";
import { FROM_MODULE, TO_MODULE, WRITE_MAX } from "./gatt";
import { Inbox, LinkError, type Transport, within } from "./transport";

const OPEN_MS = 10_000;
const ANSWER_MS = 15_000;

export interface Advertised {
  readonly address: string;
  readonly name: string;
  readonly state: ModuleState;
}

interface Told {
  readonly id?: number;
  readonly ok?: unknown;
  readonly error?: { readonly code: string };
  readonly event?: string;
  readonly characteristic?: string;
  readonly value?: string;
}

type Waiting = { resolve: (value: unknown) => void; reject: (error: LinkError) => void };

/** Modules that the radio hears now. Throws `LinkError`. */
export async function scan(url: string): Promise<Advertised[]> {
  const radio = new Radio(url, new Inbox());
  try {
    await radio.open();
    return (await radio.call("scan")) as Advertised[];
  } finally {
    radio.close();
  }
}

/** One WebSocket is one radio, with at most one connection to a module. */
class Radio {
  private socket: WebSocket | null = null;
  private last = 0;
  private readonly waiting = new Map<number, Waiting>();

  constructor(
    private readonly url: string,
    private readonly inbox: Inbox,
  ) {}

  async open(): Promise<void> {
    const socket = (this.socket = new WebSocket(this.url));
    socket.onmessage = (event): void => this.take(String(event.data));
    socket.onclose = (): void => this.end();
    await within(
      OPEN_MS,
      new Promise<void>((resolve, reject) => {
        socket.onopen = (): void => resolve();
        socket.onerror = (): void => reject(new LinkError("unreachable"));
      }),
    );
  }

  async call(op: string, more: Record<string, unknown> = {}): Promise<unknown> {
    if (this.socket?.readyState !== WebSocket.OPEN) {
      throw new LinkError("closed");
    }
    const id = ++this.last;
    this.socket.send(JSON.stringify({ id, op, ...more }));
    const answer = new Promise<unknown>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    try {
      return await within(ANSWER_MS, answer);
    } finally {
      this.waiting.delete(id);
    }
  }

  close(): void {
    this.socket?.close();
    this.end();
  }

  private take(text: string): void {
    try {
      const told = JSON.parse(text) as Told;
      if (told.event === "notify" && told.characteristic === FROM_MODULE) {
        this.inbox.put(fromBase64(told.value ?? ""));
      } else if (told.event === "disconnected") {
        this.close();
      } else if (told.id !== undefined) {
        const waiting = this.waiting.get(told.id);
        if (told.error) {
          waiting?.reject(new LinkError(told.error.code === "not_found" ? "unreachable" : "closed"));
        } else {
          waiting?.resolve(told.ok);
        }
      }
    } catch {
      this.close();
    }
  }

  private end(): void {
    this.inbox.end("closed");
    for (const waiting of this.waiting.values()) {
      waiting.reject(new LinkError("closed"));
    }
    this.waiting.clear();
  }
}

export class RadioTransport implements Transport {
  private inbox = new Inbox();
  private radio: Radio | null = null;

  constructor(
    private readonly url: string,
    private readonly address: string,
  ) {}

  async open(): Promise<void> {
    this.inbox = new Inbox();
    this.radio = new Radio(this.url, this.inbox);
    try {
      await this.radio.open();
      await this.radio.call("connect", { address: this.address });
      await this.radio.call("subscribe", { characteristic: FROM_MODULE });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  read(): Promise<Bytes> {
    return this.inbox.read();
  }

  async write(frame: Bytes): Promise<void> {
    for (let at = 0; at < frame.length; at += WRITE_MAX) {
      const value = toBase64(frame.slice(at, at + WRITE_MAX));
      await this.radio!.call("write", { characteristic: TO_MODULE, value, response: true });
    }
  }

  async close(): Promise<void> {
    this.radio?.close();
  }
}
