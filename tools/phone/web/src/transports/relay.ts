/** The relay: frames through the server, by HTTP (docs/api.md, "Relay"). It sees sizes and times only. */

import { type Bytes, fromBase64, hex, randomBytes, toBase64 } from "../protocol/bytes";
import { Inbox, LinkError, type Transport, pause } from "./transport";

const WAIT_S = 20;
const REQUEST_MS = (WAIT_S + 15) * 1_000;
const CONFLICT = 409;
const TOO_MANY = 429;
const RETRIES_MS = [500, 1_000, 2_000, 4_000, 8_000];

interface Numbered {
  readonly number: number;
  readonly frame: string;
}

interface Answer {
  readonly frames: readonly Numbered[];
  readonly module: "online" | "offline";
  readonly closed: boolean;
}

/** A conversation stands for a link. Frames are repeated, under the same number, until the server has answered. */
export class RelayTransport implements Transport {
  private conversation: Conversation | null = null;

  /** origin: where the page came from; token: 32 hex digits of the link. */
  constructor(
    private readonly origin: string,
    private readonly token: string,
  ) {}

  async open(): Promise<void> {
    this.conversation = new Conversation(`${this.origin}/v1/relay`, this.token);
  }

  read(): Promise<Bytes> {
    return this.conversation!.inbox.read();
  }

  async write(frame: Bytes): Promise<void> {
    this.conversation!.send(frame);
  }

  async close(): Promise<void> {
    this.conversation?.leave();
  }
}

class Conversation {
  readonly inbox = new Inbox();
  private readonly id = hex(randomBytes(8));
  private unsent: Numbered[] = [];
  private sent = 0;
  private received = 0;
  private running = false;
  private request: AbortController | null = null;

  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  send(frame: Bytes): void {
    if (this.inbox.over) {
      throw new LinkError("closed");
    }
    this.unsent.push({ number: ++this.sent, frame: toBase64(frame) });
    this.request?.abort("more to send");
    if (!this.running) {
      this.running = true;
      void this.run();
    }
  }

  /** The server is told, if it can be; if not, it finds out by itself. */
  leave(): void {
    if (!this.inbox.over && this.sent) {
      this.post(this.message([], 0, true), AbortSignal.timeout(REQUEST_MS), true).catch(() => undefined);
    }
    this.end("closed");
  }

  private end(fault: "closed" | "offline" | "unreachable"): void {
    this.inbox.end(fault);
    this.request?.abort("over");
  }

  private async run(): Promise<void> {
    let failures = 0;
    while (!this.inbox.over) {
      const frames = this.unsent.slice();
      try {
        const answer = await this.ask(frames);
        failures = 0;
        this.unsent = this.unsent.filter(({ number }) => number > (frames.at(-1)?.number ?? 0));
        this.take(answer);
      } catch (error) {
        if (error instanceof LinkError) {
          return this.end(error.fault === "closed" ? "closed" : "unreachable");
        }
        if (this.request?.signal.reason === "more to send") {
          continue;
        }
        const wait = RETRIES_MS[failures++];
        if (wait === undefined) {
          return this.end("unreachable");
        }
        await pause(wait);
      }
    }
  }

  /** Throws `LinkError` where repeating does not help, anything else where it may. */
  private async ask(frames: readonly Numbered[]): Promise<Answer> {
    const request = (this.request = new AbortController());
    const timer = setTimeout(() => request.abort("late"), REQUEST_MS);
    try {
      const response = await this.post(this.message(frames, WAIT_S, false), request.signal, false);
      if (response.status === CONFLICT) {
        throw new LinkError("closed");
      }
      if (!response.ok) {
        throw response.status === TOO_MANY || response.status >= 500
          ? new Error("later")
          : new LinkError("unreachable");
      }
      return (await response.json()) as Answer;
    } finally {
      clearTimeout(timer);
    }
  }

  private message(frames: readonly Numbered[], wait_s: number, close: boolean): string {
    return JSON.stringify({ token: this.token, conversation: this.id, received: this.received, frames, wait_s, close });
  }

  private post(body: string, signal: AbortSignal, keepalive: boolean): Promise<Response> {
    return fetch(this.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal,
      keepalive,
    });
  }

  private take(answer: Answer): void {
    for (const { number, frame } of answer.frames) {
      if (number > this.received) {
        this.received = number;
        this.inbox.put(fromBase64(frame));
      }
    }
    if (answer.closed) {
      this.end("closed");
    } else if (answer.module === "offline" && !answer.frames.length) {
      this.end("offline");
    }
  }
}
