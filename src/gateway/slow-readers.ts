/**
 * Cuts off clients that take nothing of their answers, and nobody else: a long poll may be silent for as long as it likes.
 *
 *     idle ──request──▶ waiting ──answer begins──▶ sending ──answer is out──▶ idle (or waiting: requests may be pipelined)
 *
 * A socket's own timer notices when nothing moves; it runs while an answer is on its way, and between requests.
 */
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

interface Traffic {
  requests: number;
  answers: number;
}

export function cutOffSlowReaders(app: FastifyInstance, slowMs: number): void {
  const traffic = new WeakMap<Socket, Traffic>();
  const of = (socket: Socket): Traffic => {
    let found = traffic.get(socket);
    if (found === undefined) {
      found = { requests: 0, answers: 0 };
      traffic.set(socket, found);
      socket.on("timeout", () => socket.destroy());
    }
    return found;
  };
  app.addHook("onRequest", ({ raw: { socket } }, _reply, done) => {
    of(socket).requests++;
    done();
  });
  app.addHook("onSend", ({ raw: { socket } }, _reply, _payload, done) => {
    if (++of(socket).answers === 1) socket.setTimeout(slowMs);
    done();
  });
  app.addHook("onResponse", ({ raw: { socket } }, _reply, done) => {
    const left = of(socket);
    left.requests--;
    left.answers--;
    if (left.answers === 0) socket.setTimeout(left.requests === 0 ? app.server.keepAliveTimeout : 0);
    done();
  });
}
