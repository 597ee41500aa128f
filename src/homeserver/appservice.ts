/**
 * The application service side of a gateway (Matrix specification, application service API): a homeserver that knows
 * nothing of Tidemark pushes its events and receipts here.
 *
 * A transaction is answered with 200 once all of it is stored. It is remembered by its id, so a repetition, here or at
 * another gateway, is answered without storing it again.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { DeliveredTransactions } from "../bus/delivered-transactions.ts";
import { type ErrorCode, reasonOf, TidemarkError } from "../errors.ts";
import { TRANSACTION_BYTES_MAX } from "../limits.ts";
import { deliverRoom } from "./delivery.ts";
import { readTransaction } from "./transaction.ts";

interface AppserviceOptions {
  readonly nc: Bus;
  /** The token by which the homeserver shows that it is the one. */
  readonly hsToken: string;
  readonly log: Logger;
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  M_BAD_JSON: 400,
  M_INVALID_PARAM: 400,
  M_TOO_LARGE: 413,
  M_LIMIT_EXCEEDED: 429,
};

/** The routes, as a plugin of the gateway. */
export async function appservice({ nc, hsToken, log }: AppserviceOptions): Promise<FastifyPluginAsync> {
  const delivered = await DeliveredTransactions.open(nc, hsToken);
  const expected = digest(hsToken);

  const authorize = async (request: FastifyRequest, reply: FastifyReply) => {
    const token = tokenOf(request);
    if (token === undefined) return reply.code(401).send(failure("M_UNAUTHORIZED", "The hs_token is missing"));
    if (timingSafeEqual(digest(token), expected)) return;
    return reply.code(403).send(failure("M_FORBIDDEN", "This is not the hs_token of the registration"));
  };

  const take = async (id: string, body: unknown): Promise<void> => {
    const intake = readTransaction(body);
    if (intake === undefined) throw new TidemarkError("M_BAD_JSON", "a transaction is an object");
    if (intake.dropped > 0) {
      log.warn({ transaction: id, dropped: intake.dropped }, "malformed parts of a transaction are left out");
    }
    if (intake.rooms.size === 0 || (await delivered.has(id, intake.fingerprint))) return;
    await Promise.all([...intake.rooms].map(([room, told]) => deliverRoom(nc, room, told)));
    await delivered.add(id, intake.fingerprint);
  };

  return async (app: FastifyInstance) => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: TRANSACTION_BYTES_MAX }, (_, body, done) =>
      done(null, body),
    );
    app.addHook("onRequest", authorize);
    app.setErrorHandler((error, _, reply) => refuse(error, reply, log));

    app.put<{ Params: { txnId: string } }>("/_matrix/app/v1/transactions/:txnId", async ({ params, body }) => {
      await take(params.txnId, parseJson(body));
      return {};
    });
    app.post("/_matrix/app/v1/ping", async () => ({}));
    // Tidemark has no users and no rooms of its own to make on demand.
    app.get("/_matrix/app/v1/users/:userId", (_, reply) =>
      reply.code(404).send(failure("M_NOT_FOUND", "No such user")),
    );
    app.get("/_matrix/app/v1/rooms/:roomAlias", (_, reply) =>
      reply.code(404).send(failure("M_NOT_FOUND", "No such room")),
    );
  };
}

/** Everything in it is looked at on its own: nothing that a user wrote may make a transaction untakeable. */
function parseJson(body: unknown): unknown {
  try {
    return JSON.parse(String(body));
  } catch (cause) {
    throw new TidemarkError("M_BAD_JSON", "the transaction is not JSON", { cause });
  }
}

/** From the header, as since v1.4 of the specification, or from the query, as before. */
function tokenOf({ headers, query }: FastifyRequest): string | undefined {
  const header = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (header !== undefined) return header;
  const { access_token: token } = query as { readonly access_token?: unknown };
  return typeof token === "string" ? token : undefined;
}

/** 5xx and 429 make the homeserver push the same transaction again later. */
function refuse(error: unknown, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof TidemarkError) {
    const status = STATUS[error.code] ?? 503;
    log.warn({ status, reason: error.message }, "a transaction was not taken");
    return reply.code(status).send(failure(status === 503 ? "M_UNKNOWN" : error.code, error.message));
  }
  const { statusCode: status = 500 } = error as { readonly statusCode?: number };
  if (status >= 500) log.error({ err: error }, "a transaction failed in an unforeseen way");
  const [code, text] = status === 413 ? ["M_TOO_LARGE", reasonOf(error)] : ["M_UNKNOWN", "The request failed"];
  return reply.code(status).send(failure(code, text));
}

function failure(errcode: string, error: string): Record<string, string> {
  return { errcode, error };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
