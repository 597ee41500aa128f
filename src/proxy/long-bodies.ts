/** Long bodies of answers go from socket to socket: Node's streams in between would cost twice the processor time. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Tap } from "./tapped-agent.ts";
import type { Upstream } from "./upstream.ts";

/** A shorter one isn't worth its connection, which can't be used again. */
const LONG_BODY_BYTES = 1_048_576;

/** Whether an answer says that it has a long body, and how long it is. */
export function hasLongBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] === undefined && Number(headers["content-length"]) >= LONG_BODY_BYTES;
}

interface Destination {
  readonly response: ServerResponse;
  readonly upstream: Pick<Upstream, "tap">;
  /** Called when everything is written. */
  readonly onEnd: () => void;
}

/**
 * Passes on a long body, of which `first` was read of the answer, and nothing else. Returns what tells whether all of it has come;
 * undefined if it has to be streamed.
 */
export function passLongBody(
  answer: IncomingMessage,
  first: Buffer,
  { response, upstream, onEnd }: Destination,
): (() => boolean) | undefined {
  const { socket: from } = answer;
  const { socket: to } = response;
  let left = Number(answer.headers["content-length"]) - first.length;
  // A response that waits for another one has no socket yet. What was read and is not passed on must not be overtaken.
  const isBehind = answer.readableLength > 0 || from.readableLength > 0;
  if (to === null || left <= 0 || isBehind) return undefined;
  const written = (error?: Error | null) => {
    if (error) return; // The client is gone.
    if (left === 0) onEnd();
    else if (to.writableLength === 0) from.resume();
  };
  const pass: Tap = (bytes) => {
    const part = bytes.subarray(0, left);
    left -= part.length;
    to.write(part, written);
    // Until it is written, nothing may be read over it. What comes behind the body is nobody's.
    if (to.writableLength > 0 || left === 0) from.pause();
  };
  if (!upstream.tap(from, pass)) return undefined;
  answer.pause();
  from.pause();
  response.write(first, written);
  return () => left === 0;
}
