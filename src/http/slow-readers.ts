/**
 * Disconnects clients that do not read their responses, or read them a byte at a time. A long poll without a response is
 * never disconnected: it may stay silent for as long as it needs.
 *
 *     idle ──checked while bytes are buffered──▶ sending ──no progress for slowMs, or still sending after answerMs──▶ disconnected
 *          ◀──checked when the buffer is empty──
 *
 * The socket's own timeout detects missing progress. It is armed by a periodic check, and only for sockets that have
 * buffered bytes: nearly every response is sent at once, and should not pay for a timer.
 */
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { SLOW_ANSWER_MS } from "../limits.ts";

/** Sockets are checked twice per `slowMs`: a timeout that is no longer needed is cleared before it can fire. */
const CHECKS_PER_SLOW_TIME = 2;

export function disconnectSlowReaders(app: FastifyInstance, slowMs: number, answerMs = SLOW_ANSWER_MS): void {
  /** With the time since when bytes are buffered, as a `performance.now()` time. */
  const sockets = new Map<Socket, number | undefined>();
  app.server.on("connection", (socket: Socket) => {
    sockets.set(socket, undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  const timer = setInterval(() => {
    for (const [socket, sendingSince] of sockets) {
      const isTimed = socket.timeout === slowMs;
      const isSending = socket.writableLength > 0;
      if (isSending !== isTimed) socket.setTimeout(isSending ? slowMs : 0);
      if (isSending && performance.now() - (sendingSince ?? Number.POSITIVE_INFINITY) > answerMs) socket.destroy();
      else sockets.set(socket, isSending ? (sendingSince ?? performance.now()) : undefined);
    }
  }, slowMs / CHECKS_PER_SLOW_TIME);
  timer.unref();
  app.addHook("onClose", async () => clearInterval(timer));
}
