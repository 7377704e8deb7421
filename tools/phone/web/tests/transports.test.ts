/** The relay's conversation over a fetch that fails in every way, and a link's own times and limits. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { Malformed, fromBase64, hex, toBase64, utf8 } from "../src/protocol/bytes";
import { FrameType, Refused } from "../src/protocol/frames";
import { Link } from "../src/protocol/link";
import { RelayTransport } from "../src/transports/relay";
import { Inbox, LinkError } from "../src/transports/transport";
import { MemoryTransport, bytesOf } from "./shared";

interface Asked {
  readonly conversation: string;
  readonly received: number;
  readonly frames: readonly { readonly number: number; readonly frame: string }[];
  readonly wait_s: number;
  readonly token: string;
  readonly close: boolean;
}

const QUIET = { frames: [], module: "online", closed: false };

function serve(context: TestContext, answer: (asked: Asked, count: number) => unknown): Asked[] {
  const asked: Asked[] = [];
  context.mock.method(globalThis, "fetch", (_: string, options: RequestInit) => {
    const body = JSON.parse(String(options.body)) as Asked;
    asked.push(body);
    const told = answer(body, asked.length);
    if (told === "wait") {
      return new Promise((_, reject) =>
        options.signal!.addEventListener("abort", () => reject(options.signal!.reason)),
      );
    }
    if (told instanceof Error) {
      return Promise.reject(told);
    }
    if (typeof told === "number") {
      return Promise.resolve(new Response("{}", { status: told }));
    }
    return Promise.resolve(new Response(JSON.stringify(told)));
  });
  return asked;
}

async function opened(): Promise<RelayTransport> {
  const transport = new RelayTransport("https://pps.example.jp", "ab".repeat(16));
  await transport.open();
  return transport;
}

test("a frame is repeated under its number until it is answered, and an answer counts once", async (context) => {
  const frame = { number: 1, frame: toBase64(utf8("answer")) };
  const asked = serve(
    context,
    (_, count) =>
      [new TypeError("network"), 503, { ...QUIET, frames: [frame] }, { ...QUIET, frames: [frame] }][count - 1] ??
      "wait",
  );
  const transport = await opened();
  await transport.write(utf8("question"));
  assert.equal(hex(await transport.read()), hex(utf8("answer")));
  await transport.write(utf8("more"));
  while (asked.length < 5) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(
    asked.slice(0, 3).map(({ frames }) => frames.map(({ number }) => number)),
    [[1], [1], [1]],
  );
  assert.equal(hex(fromBase64(asked[0]!.frames[0]!.frame)), hex(utf8("question")));
  assert.match(asked[0]!.conversation, /^[0-9a-f]{16}$/);
  assert.deepEqual(
    asked.map(({ received }) => received),
    [0, 0, 0, 1, 1],
  );
  assert.deepEqual(new Set(asked.map(({ conversation }) => conversation)).size, 1);
  await transport.close();
  await assert.rejects(transport.read(), LinkError);
});

test("an offline module, a conversation that is over and an unknown token are told apart", async (context) => {
  const ways: [unknown, string][] = [
    [{ ...QUIET, module: "offline" }, "offline"],
    [{ ...QUIET, closed: true }, "closed"],
    [404, "unreachable"],
    [409, "closed"],
  ];
  for (const [told, fault] of ways) {
    const mocked = context.mock.method(globalThis, "fetch", () =>
      Promise.resolve(
        typeof told === "number" ? new Response("{}", { status: told }) : new Response(JSON.stringify(told)),
      ),
    );
    const transport = await opened();
    await transport.write(utf8("x"));
    await assert.rejects(transport.read(), (error) => error instanceof LinkError && error.fault === fault);
    mocked.mock.restore();
  }
});

test("each link is a conversation of its own, and its end is told", async (context) => {
  const asked = serve(context, () => "wait");
  const transport = await opened();
  await transport.write(utf8("x"));
  await transport.close();
  await transport.open();
  await transport.write(utf8("y"));
  await transport.close();
  assert.deepEqual(
    asked.map(({ close }) => close),
    [false, true, false, true],
  );
  assert.equal(asked[0]!.conversation, asked[1]!.conversation);
  assert.notEqual(asked[0]!.conversation, asked[2]!.conversation);
  assert.equal(asked[2]!.frames[0]!.number, 1);
  assert.equal(asked[0]!.token, "ab".repeat(16));
});

test("a link gives what the module refuses as an error, and takes no other answer", async () => {
  const transport = new MemoryTransport();
  transport.answer = () => [bytesOf("07008f050000000000"), bytesOf("00")];
  const link = await Link.open(transport);
  await assert.rejects(
    link.ask(FrameType.shareP, FrameType.shareV, new Uint8Array(65)),
    (error) => error instanceof Refused && error.code === "busy",
  );
  transport.answer = () => [bytesOf("07008f050000000000")];
  await assert.rejects(link.ask(FrameType.shareP, FrameType.shareV), Malformed);
});

test("a frame that stays incomplete, and one that never comes, end in time", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  for (const piece of ["07", null]) {
    const transport = new MemoryTransport();
    transport.answer = () => (piece === null ? [] : [bytesOf(piece)]);
    const link = await Link.open(transport);
    const asked = assert.rejects(link.info(), (error) => error instanceof LinkError && error.fault === "timeout");
    for (let turn = 0; turn < 20; turn++) {
      await Promise.resolve();
    }
    context.mock.timers.tick(30_000);
    await asked;
  }
});

test("a peer that floods is cut off", async () => {
  const inbox = new Inbox();
  for (let count = 0; count < 1_000; count++) {
    inbox.put(new Uint8Array(1));
  }
  assert.equal(inbox.over, true);
});
