/**
 * The application service API (Matrix specification) of the gateway: an unmodified homeserver pushes its events and
 * receipts here.
 *
 * A transaction is answered with 200 once all of it is stored that can be. It is refused only for its token, or because it
 * is not JSON; it is answered with 503 when it may be stored later. Its id is stored too, so that a retry, here or at
 * another gateway, is answered without storing the events again.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { eachAtOnce } from "../at-once.ts";
import type { Bus } from "../bus/client/connection.ts";
import type { OnPruned } from "../bus/contract/pruning.ts";
import { DeliveredTransactions } from "../bus/delivered-transactions.ts";
import { TidemarkError } from "../errors.ts";
import { statusOf } from "../http/matrix-error.ts";
import { Turns } from "../in-slices.ts";
import { IntervalGate } from "../interval-gate.ts";
import { REPEATED_WARNING_MS, TRANSACTION_BYTES_MAX } from "../limits.ts";
import type { RoomId, ServerName } from "../matrix/ids.ts";
import { deliverRoom, type LeftOutReason, type OnLeftOut } from "./delivery.ts";
import { LatePushes } from "./late-pushes.ts";
import { NewReceipts } from "./new-receipts.ts";
import { type PushedReceipt, type PushedReceipts, type PushedRoom, readTransaction } from "./transaction.ts";

interface AppserviceOptions {
  readonly nc: Bus;
  /** The token with which the homeserver authenticates itself. */
  readonly hsToken: string;
  /** Whose users are local. If none is given, all are. */
  readonly serverNames: readonly ServerName[];
  readonly log: Logger;
  /** Called for every value of an event that is not stored. */
  readonly pruned: OnPruned;
  /** Called when parts of a transaction are not stored. */
  readonly leftOut: OnLeftOut;
  /** Called with each transaction that is stored and new, and with those of its receipts that are new. */
  readonly pushed?: (rooms: ReadonlyMap<RoomId, PushedRoom>, receipts: PushedReceipts) => void;
  /** Called for each transaction that is stored, with how many events and receipts are new in it. */
  readonly stored: (events: number, receipts: number) => void;
  /** Called for each transaction that can't be stored. */
  readonly refused: () => void;
  /** Called when pushes that had failed were made up for: receipts of that time may never come again. */
  readonly resumed: () => void;
}

/** Returns the routes, as a Fastify plugin. */
export async function appservice({
  nc,
  hsToken,
  serverNames,
  log,
  pruned,
  leftOut,
  pushed,
  stored,
  refused,
  resumed,
}: AppserviceOptions): Promise<FastifyPluginAsync> {
  const delivered = await DeliveredTransactions.open(nc, hsToken);
  const newReceipts = NewReceipts.over(nc);
  const expected = digest(hsToken);
  const localServers = new Set(serverNames);
  const late = new LatePushes({
    localServers,
    onCaughtUp: () => {
      log.info("the homeserver has caught up with its pushes");
      resumed();
    },
  });

  const authorize = async (request: FastifyRequest, reply: FastifyReply) => {
    const token = tokenOf(request);
    if (token === undefined) return reply.code(401).send(failure("M_UNAUTHORIZED", "The hs_token is missing"));
    if (timingSafeEqual(digest(token), expected)) return;
    return reply.code(403).send(failure("M_FORBIDDEN", "This is not the hs_token of the registration"));
  };

  /** With what was left out since the last warning of its reason. */
  const warnings = new Map<LeftOutReason, { readonly gate: IntervalGate; items: number }>();
  const onLeftOut: OnLeftOut = (reason, items) => {
    leftOut(reason, items);
    const warning = warnings.get(reason) ?? { gate: new IntervalGate(REPEATED_WARNING_MS), items: 0 };
    warnings.set(reason, warning);
    warning.items += items;
    if (!warning.gate.pass()) return;
    log.warn({ reason, items: warning.items }, "parts of transactions are not stored");
    warning.items = 0;
  };

  let hasStored = false;
  let isMissing = false;
  const onStored = ({ events, receipts }: Stored) => {
    stored(events, receipts);
    if (!hasStored) log.info("the homeserver has pushed its first transaction to this process");
    hasStored = true;
    if (!isMissing) return;
    isMissing = false;
    log.info("the homeserver's transactions are stored again");
    resumed();
  };

  const store = async (id: string, body: Buffer): Promise<Stored> => {
    const { rooms, malformed, fingerprint } = await readTransaction(body, { localServers, onPruned: pruned });
    if (malformed > 0) onLeftOut("malformed", malformed);
    late.pushed(rooms, body);
    if (rooms.size === 0 || (await delivered.has(id, fingerprint))) return NOTHING_STORED;
    const delivery = { turns: new Turns(), newReceipts, onLeftOut };
    const freshReceipts = new Map<RoomId, readonly PushedReceipt[]>();
    await eachAtOnce(rooms, ROOMS_AT_ONCE, async ([room, content]) => {
      freshReceipts.set(room, await deliverRoom(nc, { room, ...delivery }, content));
    });
    pushed?.(rooms, freshReceipts);
    await delivered.add(id, fingerprint);
    const sum = (count: (room: PushedRoom) => number) =>
      Array.from(rooms.values(), count).reduce((total, each) => total + each, 0);
    return { events: sum(({ events }) => events.length), receipts: sum(({ receipts }) => receipts.length) };
  };

  return async (app: FastifyInstance) => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (_: FastifyRequest, stream: IncomingMessage) => boundedBody(stream));
    app.addHook("onRequest", authorize);
    app.setErrorHandler((error, _, reply) => refuse(error, reply, log));

    app.put<{ Params: { txnId: string } }>("/_matrix/app/v1/transactions/:txnId", async ({ params, body }) => {
      if (body === TOO_LARGE) {
        onLeftOut("too_large", 1);
        onStored(NOTHING_STORED);
        return {};
      }
      try {
        onStored(await store(params.txnId, body instanceof Buffer ? body : NO_BODY));
        return {};
      } catch (error) {
        isMissing = true;
        refused();
        throw error;
      }
    });
    app.post("/_matrix/app/v1/ping", async () => ({}));
    // The homeserver asks whether to create a user or a room on demand. Tidemark has none of its own.
    app.get("/_matrix/app/v1/users/:userId", (_, reply) =>
      reply.code(404).send(failure("M_NOT_FOUND", "No such user")),
    );
    app.get("/_matrix/app/v1/rooms/:roomAlias", (_, reply) =>
      reply.code(404).send(failure("M_NOT_FOUND", "No such room")),
    );
  };
}

interface Stored {
  readonly events: number;
  readonly receipts: number;
}

const NOTHING_STORED: Stored = { events: 0, receipts: 0 };

/** Rooms of one transaction whose events and receipts are sent at the same time: it may name very many. */
const ROOMS_AT_ONCE = 64;

const NO_BODY = Buffer.alloc(0);
const TOO_LARGE = Symbol("a body beyond TRANSACTION_BYTES_MAX");

/** A body that is too large is read to its end, so that the homeserver gets its answer, and goes on. */
async function boundedBody(stream: AsyncIterable<Buffer>): Promise<Buffer | typeof TOO_LARGE> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes <= TRANSACTION_BYTES_MAX) chunks.push(chunk);
    else chunks.length = 0;
  }
  return bytes <= TRANSACTION_BYTES_MAX ? Buffer.concat(chunks) : TOO_LARGE;
}

/** The token is in the header since v1.4 of the specification, and in the query before. */
function tokenOf({ headers, query }: FastifyRequest): string | undefined {
  const header = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1];
  if (header !== undefined) return header;
  const { access_token: token } = query as { readonly access_token?: unknown };
  return typeof token === "string" ? token : undefined;
}

/** After a 5xx, the homeserver retries the transaction later. */
function refuse(error: unknown, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof TidemarkError) {
    const status = error.shouldRetry() ? 503 : statusOf(error.code);
    log.warn({ status, reason: error.message }, "a transaction was refused");
    return reply.code(status).send(failure(status === 503 ? "M_UNKNOWN" : error.code, error.message));
  }
  const { statusCode: status = 500 } = error as { readonly statusCode?: number };
  if (status >= 500) log.error({ err: error }, "a transaction failed unexpectedly");
  return reply.code(status).send(failure("M_UNKNOWN", "The request failed"));
}

function failure(errcode: string, error: string): Record<string, string> {
  return { errcode, error };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
