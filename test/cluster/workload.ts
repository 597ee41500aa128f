/** Senders that repeat each request until it is accepted, and record the positions. */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { type Body, decoded, message, pack, receipt, token } from "../support/harness.ts";

const REQUEST_LIMIT_MS = 1_000;
const REPEAT_MS = 100;
const SENDERS = 6;
export const USERS = Array.from({ length: 5 }, (_, i) => `@u${i}:a.org`);

/** An item that was answered with `ok: true`. */
export interface Acknowledged {
  readonly room: string;
  readonly position: number;
  /** The id of an event, or the `ts` of a receipt, which is unique. */
  readonly what: string | number;
}

export interface Workload {
  readonly acknowledged: readonly Acknowledged[];
  readonly requests: number;
  /** Stops sending. Resolves once every request in flight is accepted. */
  stop(): Promise<void>;
}

interface Connections {
  readonly homeserver: NatsConnection;
  readonly frontend: NatsConnection;
}

/** Sends until it is accepted. Resolves to the position. `repeated`: called before each request. */
async function untilAccepted(
  nc: NatsConnection,
  { kind, room, repeated = () => {} }: { readonly kind: string; readonly room: string; readonly repeated?: () => void },
  body: unknown,
): Promise<number> {
  for (;;) {
    repeated();
    const reply: Body = await nc
      .request(`tidemark.in.${kind}.${token(room)}`, pack(body), { timeout: REQUEST_LIMIT_MS })
      .then(({ data }) => decoded(data))
      .catch(() => undefined);
    if (reply?.ok) return reply.positions[0];
    if (reply !== undefined && reply.errcode !== "M_UNKNOWN" && reply.errcode !== "M_LIMIT_EXCEEDED") {
      throw new Error(`refused: ${JSON.stringify(reply)}`);
    }
    await delay(REPEAT_MS);
  }
}

/** Every user joins every room, so that `/sync` shows it. */
export async function joinAll({ homeserver }: Connections, rooms: readonly string[]): Promise<Acknowledged[]> {
  const joins = rooms.flatMap((room) => USERS.map((user) => ({ room, user })));
  return Promise.all(
    joins.map(async ({ room, user }) => {
      const what = `$${room.slice(1)}-join-${user}`;
      const content = { membership: "join" };
      const event = { ...message(what), type: "m.room.member", sender: user, state_key: user, content };
      return { room, what, position: await untilAccepted(homeserver, { kind: "event", room }, event) };
    }),
  );
}

/**
 * Sends live and backfilled events, and receipts of all types, on events that exist, that come later, and that never
 * come.
 */
export function startWorkload(
  { homeserver, frontend }: Connections,
  rooms: readonly string[],
  next: () => number,
  before: readonly Acknowledged[] = [],
): Workload {
  const acknowledged: Acknowledged[] = [...before];
  const pick = (count: number) => Math.floor(next() * count);
  let sending = true;
  let requests = 0;
  const send = (nc: NatsConnection, kind: string, room: string, body: unknown) =>
    untilAccepted(nc, { kind, room, repeated: () => requests++ }, body);
  const sender = async () => {
    while (sending) {
      const room = rooms[pick(rooms.length)]!;
      const id = acknowledged.length + pick(3);
      if (next() < 0.4) {
        const kind = next() < 0.9 ? "event" : "backfill";
        const event = `$${room.slice(1)}-${id}`;
        acknowledged.push({ room, what: event, position: await send(homeserver, kind, room, message(event)) });
      } else {
        const type = ["m.read", "m.read", "m.read.private", "m.fully_read"][pick(4)]!;
        const event = `$${room.slice(1)}-${Math.max(0, id - pick(30) + 3)}`;
        const thread = type !== "m.fully_read" && next() < 0.2 ? { thread_id: "main" } : {};
        // A homeserver has accepted some: then the marker may move back.
        const accepted = type === "m.fully_read" && next() < 0.5 ? { accepted: true } : {};
        const ts = 1_000_000 + requests * 1_000 + pick(1_000);
        const body = receipt(USERS[pick(USERS.length)]!, event, { receipt_type: type, ts, ...thread, ...accepted });
        acknowledged.push({ room, what: ts, position: await send(frontend, "receipt", room, body) });
      }
    }
  };
  const running = Promise.all(Array.from({ length: SENDERS }, sender));
  running.catch(() => {}); // `stop` rejects with the error.
  return {
    acknowledged,
    get requests() {
      return requests;
    },
    stop: async () => {
      sending = false;
      await running;
    },
  };
}
