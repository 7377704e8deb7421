/** Frames over one link, one question at a time. */

import { type Transport, within } from "../transports/transport";
import { Malformed } from "./bytes";
import { type Frame, FrameReader, FrameType, encodeFrame, parseRefused } from "./frames";
import { type Info, parseInfo } from "./info";

const ANSWER_MS = 20_000;
const FRAME_MS = 10_000;

export class Link {
  private readonly reader = new FrameReader();
  private readonly frames: Frame[] = [];

  private constructor(private readonly transport: Transport) {}

  /** Throws `LinkError`. */
  static async open(transport: Transport): Promise<Link> {
    await transport.open();
    return new Link(transport);
  }

  async send(type: number, ...body: readonly Uint8Array[]): Promise<void> {
    await this.transport.write(encodeFrame(type, ...body));
  }

  /** The next frame; without timeoutMs however long it takes to begin. Throws `LinkError`, `Malformed`. */
  async receive(timeoutMs?: number): Promise<Frame> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame) {
        return frame;
      }
      const limit = this.reader.waiting ? FRAME_MS : timeoutMs;
      const read = this.transport.read();
      this.frames.push(...this.reader.push(limit === undefined ? await read : await within(limit, read)));
    }
  }

  /** Sends a frame and takes the answer of one type; throws what the module says instead (`Refused`). */
  async ask(type: number, answer: number, ...body: readonly Uint8Array[]): Promise<Frame> {
    await this.send(type, ...body);
    return this.expect(answer);
  }

  async expect(answer: number): Promise<Frame> {
    const frame = await this.receive(ANSWER_MS);
    if (frame.type === FrameType.refused) {
      throw parseRefused(frame.body);
    }
    if (frame.type !== answer) {
      throw new Malformed("another frame");
    }
    return frame;
  }

  async info(): Promise<Info> {
    return parseInfo((await this.ask(FrameType.askInfo, FrameType.info)).body);
  }

  async close(): Promise<void> {
    await this.transport.close();
  }
}

/** Asks a module who it is, on a link that is ended again. Throws `LinkError`, `Malformed`, `UnknownVersion`. */
export async function readInfo(transport: Transport): Promise<Info> {
  const link = await Link.open(transport);
  try {
    return await link.info();
  } finally {
    await link.close();
  }
}
