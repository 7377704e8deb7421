/** From ID and password to a session (docs/protocol.md, "Handshake"). */

import type { Transport } from "../transports/transport";
import { type Bytes, Malformed, concat, uint, utf8 } from "./bytes";
import { Channel, resumeKey } from "./channel";
import { deriveSecrets } from "./derive";
import { FrameType, parseRefused } from "./frames";
import type { Info } from "./info";
import { Link } from "./link";
import { parseAnswer } from "./messages";
import { Session } from "./session";
import { Prover, WrongProof } from "./spake2plus";

export type LoginStep = "connecting" | "deriving" | "proving";
const SHARE_SIZE = 65;

/** Another module answers than the one that was shown. */
export class OtherModule extends Error {
  override readonly name = "OtherModule";
}

/** The password's length is not that of the credential which the module has by now. */
export class OtherCredential extends Error {
  override readonly name = "OtherCredential";
}

/**
 * Connects and proves. The link stays with the session. Throws `Refused` (also `wrong`, when it is this end that
 * finds the proof wanting), `LinkError`, `Malformed`, `BadIterations`, `BadShare`, `OtherModule`, `OtherCredential`.
 */
export async function login(
  transport: Transport,
  serial: string,
  userId: string,
  password: string,
  onStep: (step: LoginStep) => void,
): Promise<Session> {
  onStep("connecting");
  const link = await Link.open(transport);
  try {
    const info = await link.info();
    if (info.serial !== serial) {
      throw new OtherModule();
    }
    if (info.passwordDigits && info.passwordDigits !== password.length) {
      throw new OtherCredential();
    }
    onStep("deriving");
    const prover = await proverFor(info, userId, password);
    onStep("proving");
    const kShared = await prove(link, prover, info);
    const channel = await Channel.derive(kShared);
    const answer = parseAnswer(await channel.open((await link.expect(FrameType.sealedByModule)).body));
    if (answer.kind !== "status") {
      throw new Malformed("no status");
    }
    return new Session(transport, link, kShared, resumeKey(kShared), channel, answer.status);
  } catch (error) {
    await link.close();
    throw error;
  }
}

async function proverFor(info: Info, userId: string, password: string): Promise<Prover> {
  if (!info.passwordDigits) {
    // Nothing to prove against: the module will say why.
    return new Prover({ w0: 1n, w1: 1n });
  }
  return new Prover(await deriveSecrets(password, userId, info.serial, info.salt, info.iterations));
}

async function prove(link: Link, prover: Prover, info: Info): Promise<Bytes> {
  const share = (await link.ask(FrameType.shareP, FrameType.shareV, prover.shareP)).body;
  try {
    const { confirmP, kShared } = prover.finish(share.subarray(0, SHARE_SIZE), share.subarray(SHARE_SIZE), {
      context: concat(utf8("inkan phone 1"), info.salt, uint(info.iterations, 4)),
      idProver: new Uint8Array(0),
      idVerifier: utf8(info.serial),
    });
    await link.send(FrameType.confirmP, confirmP);
    return kShared;
  } catch (error) {
    if (!(error instanceof WrongProof)) {
      throw error;
    }
    // The module's answer says what it counts now.
    throw parseRefused((await link.ask(FrameType.giveUp, FrameType.refused)).body);
  }
}
