/** A session: requests, what comes unasked, and its own way back when the link breaks ("Resuming"). */

import { LinkError, type Transport, pause, within } from "../transports/transport";
import { type Bytes, Malformed, randomBytes, sameBytes, uint } from "./bytes";
import { Channel, type ResumeKey, resumeMac, resumedMac } from "./channel";
import { FrameType, Refused } from "./frames";
import { Link } from "./link";
import * as messages from "./messages";
import type { Answer, Group, Result, Status, Values } from "./messages";
import { type Over, type Progress, SealedLine, SessionOver } from "./sealed_line";

export type Connection =
  | { readonly kind: "linked" }
  | { readonly kind: "lost"; readonly attempt: number; readonly untilMs: number }
  | { readonly kind: "over"; readonly why: Over };

const RESUME_WITHIN_MS = 120_000;
const IDLE_MS = 180_000;
const STAY_MS = 30_000;
const BACK_OFF_MS = [0, 500, 1_000, 2_000, 4_000, 8_000];
const ANSWER_MS = 20_000;
const ENROL_ANSWER_MS = 75_000;
const NONCE_SIZE = 16;

export class Session {
  connection: Connection = { kind: "linked" };
  /** Called when `connection` or `status` has changed. */
  onChange: () => void = () => undefined;
  private number = 0;
  private turn = 0;
  private staying = false;
  private line: SealedLine | null;
  private resuming: Promise<void> | null = null;
  private queue: Promise<unknown> = Promise.resolve();
  private idleUntilMs: number;
  private statusMs = now();

  constructor(
    private readonly transport: Transport,
    link: Link,
    private readonly kShared: Bytes,
    private readonly resumption: ResumeKey,
    channel: Channel,
    private current: Status,
  ) {
    this.idleUntilMs = now() + current.idleS * 1_000;
    this.line = this.lineOn(link, channel);
  }

  get status(): Status {
    return this.current;
  }

  /** Milliseconds until the module ends the session for idleness. */
  get idleLeftMs(): number {
    return Math.max(this.idleUntilMs - now(), 0);
  }

  /** Seconds that the credential has left, or null. */
  get secondsLeft(): number | null {
    const left = this.current.secondsLeft;
    return left === null ? null : Math.max(left - Math.floor((now() - this.statusMs) / 1_000), 0);
  }

  async refresh(): Promise<void> {
    await this.request(messages.askStatus(), "status");
  }

  /** The user is at work on this page: lets the module know, now and then. Status is no activity there, a view is. */
  async stay(): Promise<void> {
    if (this.connection.kind === "linked" && !this.staying && this.idleLeftMs < IDLE_MS - STAY_MS) {
      this.staying = true;
      try {
        await this.view(
          messages.GROUPS.find((group) => messages.allows(this.current.see, group)) ?? messages.GROUPS[0],
        );
      } catch {
        // Not allowed is an answer too; what is over is told otherwise.
      }
      this.staying = false;
    }
  }

  async view(group: Group): Promise<Values> {
    return (await this.request(messages.view(group), "view")).values;
  }

  /** All or none; one change. Throws `ModuleError`, `SessionOver`, as the others below do. */
  change(values: Values): Promise<Result> {
    return this.act(messages.change(++this.number, this.current.generation, values));
  }

  /** fieldIds empty: the whole group. */
  remove(group: Group, fieldIds: readonly number[]): Promise<Result> {
    return this.act(messages.remove(++this.number, this.current.generation, group, fieldIds));
  }

  enrol(code: string, host: string, onProgress: Progress): Promise<Result> {
    const message = messages.enrol(++this.number, this.current.generation, code, host);
    return this.act(message, ENROL_ANSWER_MS, onProgress);
  }

  /** Has no request number: after a resumption the status says whether it was done. */
  async wipe(): Promise<void> {
    const done = (): boolean => !this.current.mayWipe;
    await this.request(messages.wipe(), "result", ANSWER_MS, () => undefined, done);
    await this.refresh();
  }

  /** Ends it here in any case; the module is told if it can be reached now. */
  async end(): Promise<void> {
    try {
      if (this.line) {
        await within(ANSWER_MS, this.queue);
        await this.line.ask(messages.end(), ANSWER_MS, () => undefined);
      }
    } catch {
      // Whatever it says, it is over; without a word the module ends it by itself.
    }
    this.finish("done");
  }

  private async act(message: Bytes, timeoutMs = ANSWER_MS, onProgress: Progress = () => undefined): Promise<Result> {
    const { result } = await this.request(message, "result", timeoutMs, onProgress);
    this.current = { ...this.current, generation: result.generation, changesLeft: result.changesLeft };
    this.onChange();
    return result;
  }

  /** One at a time. Repeats the very same bytes after a resumption, unless `done` says that it was done. */
  private request<Kind extends Answer["kind"]>(
    message: Bytes,
    kind: Kind,
    timeoutMs = ANSWER_MS,
    onProgress: Progress = () => undefined,
    done: () => boolean = () => false,
  ): Promise<Extract<Answer, { kind: Kind }>> {
    const turn = this.queue.then(async () => {
      for (let tries = 0; ; tries++) {
        const line = await this.whenLinked();
        if (tries && done()) {
          const { generation, changesLeft } = this.current;
          return { kind: "result", result: { generation, changesLeft, repeated: true } } as const;
        }
        try {
          const askedMs = now();
          const answer = await line.ask(message, timeoutMs, onProgress);
          this.idleUntilMs = askedMs + IDLE_MS;
          return answer;
        } catch (error) {
          if (!(error instanceof LinkError)) {
            throw error;
          }
          await this.lose(line);
        }
      }
    });
    this.queue = turn.catch(() => undefined);
    return turn.then((answer) => this.settled(answer, kind));
  }

  private settled<Kind extends Answer["kind"]>(answer: Answer, kind: Kind): Extract<Answer, { kind: Kind }> {
    if (answer.kind === "ended") {
      throw new SessionOver(answer.reason);
    }
    if (answer.kind === "error") {
      throw answer.error;
    }
    if (answer.kind !== kind) {
      this.finish("broken");
      throw new SessionOver("broken");
    }
    if (answer.kind === "status") {
      this.take(answer.status);
    }
    return answer as Extract<Answer, { kind: Kind }>;
  }

  private take(status: Status): void {
    this.statusMs = now();
    this.idleUntilMs = now() + status.idleS * 1_000;
    this.current = status;
    this.onChange();
  }

  private async whenLinked(): Promise<SealedLine> {
    await this.resuming;
    if (!this.line) {
      throw new SessionOver(this.connection.kind === "over" ? this.connection.why : "lost");
    }
    return this.line;
  }

  private lineOn(link: Link, channel: Channel): SealedLine {
    const line: SealedLine = new SealedLine(link, channel, {
      onEnded: (reason) => this.finish(reason),
      onBroken: () => this.finish("broken"),
      onLost: () => void this.lose(line),
    });
    return line;
  }

  private lose(line: SealedLine): Promise<void> {
    if (line === this.line) {
      this.line = null;
      this.resuming = this.resume(line).finally(() => {
        this.resuming = null;
      });
    }
    return this.resuming ?? Promise.resolve();
  }

  private async resume(old: SealedLine): Promise<void> {
    await old.close();
    const untilMs = now() + Math.min(RESUME_WITHIN_MS, this.idleLeftMs);
    for (let attempt = 0; now() < untilMs && this.connection.kind !== "over"; attempt++) {
      this.connection = { kind: "lost", attempt: attempt + 1, untilMs };
      this.onChange();
      await pause(BACK_OFF_MS[Math.min(attempt, BACK_OFF_MS.length - 1)]!);
      try {
        await this.resumeOnce();
        return;
      } catch (error) {
        if (error instanceof Refused && error.code === "no_session") {
          break;
        }
        if (!(error instanceof LinkError || error instanceof Refused || error instanceof Malformed)) {
          this.finish("broken");
          return;
        }
      }
    }
    this.finish("lost");
  }

  private async resumeOnce(): Promise<void> {
    if (this.over()) {
      return;
    }
    const link = await Link.open(this.transport);
    let line: SealedLine | null = null;
    try {
      const turn = ++this.turn;
      const nonceP = randomBytes(NONCE_SIZE);
      const mac = resumeMac(this.resumption, turn, nonceP);
      const frame = await link.ask(
        FrameType.resume,
        FrameType.resumed,
        this.resumption.sessionId,
        uint(turn, 4),
        nonceP,
        mac,
      );
      const nonceM = frame.body.slice(0, NONCE_SIZE);
      if (!sameBytes(resumedMac(this.resumption, turn, nonceP, nonceM), frame.body.subarray(NONCE_SIZE))) {
        throw new Malformed("resumed");
      }
      line = this.lineOn(link, await Channel.derive(this.kShared, nonceP, nonceM));
      this.settled(await line.ask(messages.askStatus(), ANSWER_MS, () => undefined), "status");
    } catch (error) {
      await (line ?? link).close();
      throw error;
    }
    if (this.over()) {
      return line.close();
    }
    this.line = line;
    this.connection = { kind: "linked" };
    this.onChange();
  }

  private over(): boolean {
    return this.connection.kind === "over";
  }

  private finish(why: Over): void {
    if (this.over()) {
      return;
    }
    this.connection = { kind: "over", why };
    const line = this.line;
    this.line = null;
    this.kShared.fill(0);
    this.resumption.macKey.fill(0);
    void line?.close(new SessionOver(why));
    this.onChange();
  }
}

function now(): number {
  return performance.now();
}
