/** The HTTP side of a process: whether it is alive, whether it serves, and the routes of its roles. */
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from "fastify";

interface GatewayOptions {
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  readonly ready: () => boolean;
  /** What else is served. Each is a Fastify plugin, with a scope of its own. */
  readonly routes?: readonly FastifyPluginAsync[];
}

export interface Gateway {
  /** `http://host:port` */
  readonly url: string;
  close(): Promise<void>;
}

export async function startGateway({ host, port, ready, routes = [] }: GatewayOptions): Promise<Gateway> {
  const app: FastifyInstance = Fastify();
  app.get("/healthz", async () => ({ ok: true }));
  app.get("/readyz", async (_, reply) => {
    if (!ready()) reply.code(503);
    return { ok: ready() };
  });
  for (const route of routes) await app.register(route);
  app.setNotFoundHandler(async (_, reply) => {
    reply.code(404);
    return { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" };
  });
  const url = await app.listen({ host, port });
  return { url, close: () => app.close() };
}
