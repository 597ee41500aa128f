/** What a reverse proxy says about the request that it passes on. */
import type { FastifyRequest } from "fastify";

/**
 * Whether the client speaks TLS, to this process or to the proxy before it (`X-Forwarded-Proto`). A client can say so
 * without a proxy: nobody else may depend on the answer.
 */
export function isOverTls({ protocol, headers }: FastifyRequest): boolean {
  const [first = ""] = [headers["x-forwarded-proto"]].flat();
  return protocol === "https" || /^\s*https\s*(?:,|$)/i.test(first);
}
