/**
 * Disconnects clients that do not read their responses. A long poll without a response is never disconnected: it may
 * stay silent for as long as it needs.
 *
 *     idle ──checked while bytes are buffered──▶ sending ──no progress for slowMs──▶ disconnected
 *          ◀──checked when the buffer is empty──
 *
 * The socket's own timeout detects missing progress. It is armed by a periodic check, and only for sockets that have
 * buffered bytes: nearly every response is sent at once, and should not pay for a timer.
 */
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/** Sockets are checked twice per `slowMs`: a timeout that is no longer needed is cleared before it can fire. */
const CHECKS_PER_SLOW_TIME = 2;

export function disconnectSlowReaders(app: FastifyInstance, slowMs: number): void {
  const sockets = new Set<Socket>();
  app.server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const timer = setInterval(() => {
    for (const socket of sockets) {
      const isTimed = socket.timeout === slowMs;
      const isSending = socket.writableLength > 0;
      if (isSending !== isTimed) socket.setTimeout(isSending ? slowMs : 0);
    }
  }, slowMs / CHECKS_PER_SLOW_TIME);
  timer.unref();
  app.addHook("onClose", async () => clearInterval(timer));
}
