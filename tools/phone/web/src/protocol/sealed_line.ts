/** One link of a session: seals what is asked, opens what comes, and sorts it. */

import { LinkError } from "../transports/transport";
import { type Bytes, Malformed } from "./bytes";
import { BadSeal, type Channel } from "./channel";
import { FrameType } from "./frames";
import type { Link } from "./link";
import { type Answer, type Ending, parseAnswer } from "./messages";

/** Why it is over: the module's word, or `lost` (no way back to it), `broken` (a frame that does not verify). */
export type Over = Ending | "lost" | "broken";

export class SessionOver extends Error {
  override readonly name = "SessionOver";

  constructor(readonly why: Over) {
    super(why);
  }
}

export type Progress = (done: number, all: number) => void;
type Waiting = { resolve: (answer: Answer) => void; reject: (error: Error) => void; onProgress: Progress };

interface Events {
  onEnded(reason: Ending): void;
  onBroken(): void;
  onLost(): void;
}

export class SealedLine {
  private waiting: Waiting | null = null;
  private restart: (() => void) | null = null;
  private closed = false;

  constructor(
    private readonly link: Link,
    private readonly channel: Channel,
    private readonly events: Events,
  ) {
    void this.run();
  }

  /** The answer to a message. LinkError when it does not come; what ended the session, if that was it. */
  async ask(message: Bytes, timeoutMs: number, onProgress: Progress): Promise<Answer> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      this.waiting = { resolve, reject, onProgress };
      this.restart = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => reject(new LinkError("timeout")), timeoutMs);
      };
    });
    answer.catch(() => undefined);
    this.restart!();
    try {
      const frame = await this.channel.seal(message);
      await this.link.send(FrameType.sealed, frame);
      return await answer;
    } finally {
      clearTimeout(timer);
      this.waiting = this.restart = null;
    }
  }

  async close(error: Error = new LinkError("closed")): Promise<void> {
    if (!this.closed) {
      this.closed = true;
      this.waiting?.reject(error);
      this.channel.forget();
      await this.link.close();
    }
  }

  private async run(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.link.receive();
        if (frame.type !== FrameType.sealedByModule) {
          throw new Malformed("not sealed");
        }
        this.take(parseAnswer(await this.channel.open(frame.body)));
      }
    } catch (error) {
      if (this.closed) {
        return;
      }
      if (error instanceof LinkError) {
        this.waiting?.reject(error);
        this.events.onLost();
      } else if (error instanceof BadSeal || error instanceof Malformed) {
        this.waiting?.reject(new SessionOver("broken"));
        this.events.onBroken();
      } else {
        throw error;
      }
    }
  }

  private take(answer: Answer): void {
    if (answer.kind === "ended") {
      this.waiting?.resolve(answer);
      this.events.onEnded(answer.reason);
    } else if (answer.kind === "progress") {
      this.restart?.();
      this.waiting?.onProgress(answer.done, answer.all);
    } else if (this.waiting) {
      this.waiting.resolve(answer);
    } else {
      throw new Malformed("unasked");
    }
  }
}
