/**
 * Cuts off clients that take nothing of their answers, and nobody else: a long poll may be silent for as long as it likes.
 *
 *     nothing to send ──looked at while an answer is on its way──▶ sending ──nothing moves for slowMs──▶ cut off
 *                     ◀──looked at when it is out────────────────
 *
 * A socket's own timer notices when nothing moves. It is started from time to time, for those that have something to send:
 * nearly all answers are out at once, and should not pay for it.
 */
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/** Who sends is looked for so often, in the time that is slow: twice, so that no timer outlives its answer. */
const CHECKS_PER_SLOW_TIME = 2;

export function cutOffSlowReaders(app: FastifyInstance, slowMs: number): void {
  const sockets = new Set<Socket>();
  app.server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const timer = setInterval(() => {
    for (const socket of sockets) {
      const isTimed = socket.timeout === slowMs;
      const sends = socket.writableLength > 0;
      if (sends !== isTimed) socket.setTimeout(sends ? slowMs : 0);
    }
  }, slowMs / CHECKS_PER_SLOW_TIME);
  timer.unref();
  app.addHook("onClose", async () => clearInterval(timer));
}
