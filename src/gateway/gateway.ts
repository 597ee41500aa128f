/** The HTTP side of a process. Today: whether it is alive, and whether it serves. */
import Fastify, { type FastifyInstance } from "fastify";

interface GatewayOptions {
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  readonly ready: () => boolean;
}

export interface Gateway {
  /** `http://host:port` */
  readonly url: string;
  close(): Promise<void>;
}

export async function startGateway({ host, port, ready }: GatewayOptions): Promise<Gateway> {
  const app: FastifyInstance = Fastify();
  app.get("/healthz", async () => ({ ok: true }));
  app.get("/readyz", async (_, reply) => {
    if (!ready()) reply.code(503);
    return { ok: ready() };
  });
  app.setNotFoundHandler(async (_, reply) => {
    reply.code(404);
    return { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" };
  });
  const url = await app.listen({ host, port });
  return { url, close: () => app.close() };
}
