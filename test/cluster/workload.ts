/** Senders that repeat each request until it is accepted, and record the positions. */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { type Body, decoded, message, pack, receipt, token } from "../support/harness.ts";
import { partitionIn, REMOTE_USERS } from "./names.ts";

const REQUEST_LIMIT_MS = 1_000;
const REPEAT_MS = 100;
const SENDERS = 6;
/** No event of a room is in it. */
const WRONG_THREAD = "$nobody-has-sent-it";

/** An item that was answered with `ok: true`. */
export interface Acknowledged {
  readonly room: string;
  readonly position: number;
  /** The id of an event, or the `ts` of a receipt, which is unique. */
  readonly what: string | number;
}

export interface Workload {
  readonly acknowledged: readonly Acknowledged[];
  /** Sends an event to a room of each partition. Resolves to where they are, once all are accepted. */
  probe(): Promise<{ readonly partition: number; readonly position: number }[]>;
  /** Stops sending. Resolves once every request in flight is accepted. */
  stop(): Promise<void>;
}

interface Connections {
  readonly homeserver: NatsConnection;
  readonly frontend: NatsConnection;
}

interface Request {
  readonly kind: string;
  readonly room: string;
  readonly body: unknown;
}

/** Sends once. Resolves to the position, or to undefined when nobody has accepted it. */
async function send(nc: NatsConnection, { kind, room, body }: Request): Promise<number | undefined> {
  const reply: Body = await nc
    .request(`tidemark.in.${kind}.${token(room)}`, pack(body), { timeout: REQUEST_LIMIT_MS })
    .then(({ data }) => decoded(data))
    .catch(() => undefined);
  if (reply?.ok) return reply.positions[0];
  if (reply !== undefined && reply.errcode !== "M_UNKNOWN" && reply.errcode !== "M_LIMIT_EXCEEDED") {
    throw new Error(`refused: ${JSON.stringify(reply)}`);
  }
  return undefined;
}

/** Sends until it is accepted. Resolves to the position, and how often it was sent. */
async function untilAccepted(nc: NatsConnection, request: Request): Promise<{ position: number; attempts: number }> {
  for (let attempts = 1; ; attempts++) {
    const position = await send(nc, request);
    if (position !== undefined) return { position, attempts };
    await delay(REPEAT_MS, undefined, { ref: false });
  }
}

/** Every user joins every room, so that `/sync` shows it; and users of other servers, so that these get receipts. */
export async function joinAll(
  { homeserver }: Connections,
  rooms: readonly string[],
  users: readonly string[],
): Promise<Acknowledged[]> {
  const joins = rooms.flatMap((room) => [...users, ...REMOTE_USERS].map((user) => ({ room, user })));
  return Promise.all(
    joins.map(async ({ room, user }) => {
      const what = `$${room.slice(1)}-join-${user}`;
      const content = { membership: "join" };
      const event = { ...message(what), type: "m.room.member", sender: user, state_key: user, content };
      return { room, what, position: (await untilAccepted(homeserver, { kind: "event", room, body: event })).position };
    }),
  );
}

interface WorkloadOptions {
  readonly rooms: readonly string[];
  readonly users: readonly string[];
  readonly next: () => number;
  /** What was acknowledged before. */
  readonly before: readonly Acknowledged[];
  /** The pause of each sender between requests, ms. Default: none. */
  readonly pauseMs?: number;
  /** Called for each acknowledged entry that must be published: an event that nobody has sent before. */
  readonly onNew: (room: string, position: number) => void;
}

/**
 * Sends live and backfilled events, and receipts of all types, on events that exist, that come later, and that never
 * come; and some that name a wrong thread, which the fold rejects.
 */
export function startWorkload(
  { homeserver, frontend }: Connections,
  { rooms, users, next, before, pauseMs = 0, onNew }: WorkloadOptions,
): Workload {
  const acknowledged: Acknowledged[] = [...before];
  const sent = new Set<string>();
  /** Events that were sent by two: either may be the first in the log. */
  const contested = new Set<string>();
  const pick = (count: number) => Math.floor(next() * count);
  let sending = true;
  let receipts = 0;
  let probes = 0;
  const sendEvent = async (kind: string, room: string, event: string) => {
    if (sent.has(event)) contested.add(event);
    sent.add(event);
    const { position, attempts } = await untilAccepted(homeserver, { kind, room, body: message(event) });
    // An earlier attempt may be in the log, so that this one changes nothing.
    if (attempts === 1 && !contested.has(event)) onNew(room, position);
    acknowledged.push({ room, what: event, position });
  };
  const sendReceipt = async (room: string, event: string) => {
    const type = ["m.read", "m.read", "m.read.private", "m.fully_read"][pick(4)]!;
    const named = next() < 0.1 ? WRONG_THREAD : "main";
    const thread = type !== "m.fully_read" && next() < 0.2 ? { thread_id: named } : {};
    // A homeserver has accepted some: then the marker may move back.
    const accepted = type === "m.fully_read" && next() < 0.5 ? { accepted: true } : {};
    const ts = 1_000_000 + receipts++ * 1_000 + pick(1_000);
    const body = receipt(users[pick(users.length)]!, event, { receipt_type: type, ts, ...thread, ...accepted });
    const { position } = await untilAccepted(frontend, { kind: "receipt", room, body });
    acknowledged.push({ room, what: ts, position });
  };
  /** Sends one event after the other, because one that is sent again may be in the log already. */
  const probe = async (room: string) => {
    for (;;) {
      const event = `$${room.slice(1)}-probe-${probes++}`;
      const position = await send(homeserver, { kind: "event", room, body: message(event) });
      if (position !== undefined) {
        onNew(room, position);
        acknowledged.push({ room, what: event, position });
        return { partition: partitionIn(room), position };
      }
      await delay(REPEAT_MS, undefined, { ref: false });
    }
  };
  const sender = async () => {
    while (sending) {
      const room = rooms[pick(rooms.length)]!;
      const id = acknowledged.length + pick(3);
      if (next() < 0.4) await sendEvent(next() < 0.9 ? "event" : "backfill", room, `$${room.slice(1)}-${id}`);
      else await sendReceipt(room, `$${room.slice(1)}-${Math.max(0, id - pick(30) + 3)}`);
      if (pauseMs > 0) await delay(pauseMs);
    }
  };
  const running = Promise.all(Array.from({ length: SENDERS }, sender));
  running.catch(() => {}); // `stop` rejects with the error.
  return {
    acknowledged,
    probe: () => Promise.all([...new Map(rooms.map((room) => [partitionIn(room), room])).values()].map(probe)),
    stop: async () => {
      sending = false;
      await running;
    },
  };
}
