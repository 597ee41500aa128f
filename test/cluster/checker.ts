/**
 * What must hold after any history. It is checked from the outside: in the log, the delta streams and the answers to
 * queries.
 */
import type { NatsConnection, StreamInfo } from "nats";
import * as assert from "uvu/assert";
import type { Delivered } from "../../src/bus/client/delivered.ts";
import { StreamReader } from "../../src/bus/client/stream-reader.ts";
import { DeltaReader, markersIn, type SeenMarkers, uncovered } from "../support/delta-reader.ts";
import { type Body, decoded, pack, token } from "../support/harness.ts";
import { Model, type ModelMarker } from "../support/model.ts";
import { partitionIn } from "./names.ts";
import type { ProxiedClients, SeenOrder } from "./proxied-clients.ts";
import type { Readers } from "./readers.ts";
import type { SyncClients } from "./sync-clients.ts";
import type { Acknowledged } from "./workload.ts";

const ENTRIES_PER_RECORD = 1_024;
const RECEIPT = 2;
const READ = "m.read";
const LEADER_LIMIT_MS = 60_000;
const READ_AHEAD = 1_024;
const DELTAS_LIMIT_MS = 30_000;
const ANSWER_LIMIT_MS = 90_000;

export interface Connections {
  readonly admin: NatsConnection;
  readonly frontend: NatsConnection;
}

interface StreamMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly body: Body;
}

/** Retries, because a stream may have no leader for a while after the last fault. */
async function streamInfo(nc: NatsConnection, stream: string): Promise<StreamInfo> {
  const deadline = performance.now() + LEADER_LIMIT_MS;
  for (;;) {
    try {
      return await (await nc.jetstreamManager({ checkAPI: false })).streams.info(stream);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

/** Resolves to the last sequence of a stream. */
export async function lastSequence(nc: NatsConnection, stream: string): Promise<number> {
  return (await streamInfo(nc, stream)).state.last_seq;
}

/** Returns the messages of a stream after a sequence, in stream order. If the reader lost one, the assertions below fail. */
async function streamMessages(nc: NatsConnection, stream: string, after: number): Promise<StreamMessage[]> {
  const { state } = await streamInfo(nc, stream);
  if (state.messages === 0 || state.last_seq <= after) return [];
  const found: StreamMessage[] = [];
  let reader: StreamReader | undefined;
  await new Promise<void>((resolve, reject) => {
    const onMessage = ({ subject, sequence, data }: Delivered) => {
      if (sequence <= state.last_seq) found.push({ subject, sequence, body: decoded(data) });
      if (sequence >= state.last_seq) resolve();
    };
    reader = new StreamReader(nc, { stream, from: Math.max(state.first_seq, after + 1), ahead: READ_AHEAD, onMessage });
    reader.opened.catch(reject);
  });
  reader?.close();
  return found;
}

const roomOf = (subject: string, token = 3) => decodeURIComponent(subject.split(".")[token]!);

/** Where the streams of a partition ended when the history began. What is checked came later. */
export interface Beginning {
  readonly log: number;
  readonly deltas: number;
}

export interface CheckOptions extends Connections {
  /** By partition. */
  readonly beginnings: readonly Beginning[];
  /** Partitions whose delta stream was deleted: it need not have everything. */
  readonly withoutDeltas: ReadonlySet<number>;
  readonly rooms: readonly string[];
  readonly users: readonly string[];
  readonly acknowledged: readonly Acknowledged[];
  /** Orders that queries and proxies returned during the faults. */
  readonly observed: readonly SeenOrder[];
  readonly readers: readonly Readers[];
  readonly clients: SyncClients;
  readonly proxied: ProxiedClients;
}

export async function check(options: CheckOptions): Promise<void> {
  const { admin, beginnings, withoutDeltas, rooms, acknowledged, observed } = options;
  const wanted = new Set(rooms);
  const records = new Map<string, { sequence: number; entries: Body[] }[]>(rooms.map((room) => [room, []]));
  const bases = new Map<string, number>();
  for (const [partition, { log }] of beginnings.entries()) {
    const base = await baseOf(admin, partition);
    for (const { subject, sequence, body } of await streamMessages(admin, `TIDEMARK_LOG_${partition}`, log)) {
      const room = roomOf(subject);
      bases.set(room, base);
      if (wanted.has(room)) records.get(room)!.push({ sequence, entries: body[2] });
    }
  }
  assertStored(records, acknowledged);

  const models = new Map(rooms.map((room) => [room, modelOf(bases.get(room) ?? 0, records.get(room)!)]));
  const reader = await readDeltas(options, models);
  for (const [room, model] of models) {
    assertOrders(
      model,
      observed.filter(([of]) => of === room),
    );
    if (!withoutDeltas.has(partitionIn(room))) {
      const { orders, markers } = reader.room(room);
      assert.equal([...orders].sort(), ordersOf(model), `${room}: the deltas have each event and its order`);
      assert.equal(uncovered(markers), shownOf(model), `${room}: a reader of all deltas has the model's markers`);
    }
    for (const user of options.users) await assertSnapshot(options, { room, user, model });
  }
  const wantedBy = (room: string, user: string) =>
    markersOf(models.get(room)!, (marker) => marker.type === READ || marker.user === user);
  for (const each of options.readers) await each.assertShow(wantedBy);
  const liveIn = (room: string) => models.get(room)!.events.filter(({ order }) => order > 0);
  await options.clients.assertShow(rooms, wantedBy, liveIn);
  await options.proxied.assertOrdered();
}

/** The first record of a log says where its orders begin. */
async function baseOf(nc: NatsConnection, partition: number): Promise<number> {
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const { subject, data } = await jsm.streams.getMessage(`TIDEMARK_LOG_${partition}`, { seq: 1 });
  assert.is(subject, `tidemark.log.${partition}.start`, "a log begins with its base");
  return decoded(data)[2][0][1];
}

/**
 * Returns a reader of all messages in the delta streams. Deltas are published a little after the fold, and not while a
 * stream has no leader. So the streams are read again until everything is there or the time is up.
 */
async function readDeltas(
  { admin, beginnings, withoutDeltas }: CheckOptions,
  models: ReadonlyMap<string, Model>,
): Promise<DeltaReader> {
  for (const deadline = performance.now() + DELTAS_LIMIT_MS; ; ) {
    const reader = new DeltaReader({ repeats: true });
    for (const [partition, { deltas }] of beginnings.entries()) {
      if (withoutDeltas.has(partition)) continue;
      for (const { subject, body } of await streamMessages(admin, `TIDEMARK_DELTAS_${partition}`, deltas)) {
        assertPrivate(subject, body);
        if (subject.startsWith("tidemark.client.") && models.has(body.room_id)) reader.read(subject, body);
      }
    }
    const isComplete = [...models].every(([room, model]) => {
      if (withoutDeltas.has(partitionIn(room))) return true;
      const { orders, markers } = reader.room(room);
      return (
        orders.size === model.events.length && JSON.stringify(uncovered(markers)) === JSON.stringify(shownOf(model))
      );
    });
    if (isComplete || performance.now() > deadline) return reader;
  }
}

/**
 * Asserts that the snapshot has the model's markers: the public ones of all users, and the private ones of this user
 * alone.
 */
async function assertSnapshot(
  options: Connections,
  { room, user, model }: { readonly room: string; readonly user: string; readonly model: Model },
): Promise<void> {
  const snapshot = await query(options, room, { op: "snapshot", user_id: user, timeline_limit: 0 });
  const own = (type: string) => markersOf(model, (marker) => marker.user === user && marker.type === type);
  const what = `${room}: the snapshot for ${user}`;
  assert.equal(uncovered(markersIn(snapshot.receipts)), shownOf(model), what);
  assert.equal(uncovered(markersIn(snapshot.private)), uncovered(own("m.read.private")), `${what}, private`);
  const [fullyRead] = own("m.fully_read").values();
  const expected = fullyRead === undefined ? undefined : { event_id: fullyRead.event, order: fullyRead.order };
  assert.equal(snapshot.fully_read, expected, `${what}, fully read`);
}

/** Asserts that for each `ok: true` the log has the entry at the returned position. */
function assertStored(
  records: Map<string, { sequence: number; entries: Body[] }[]>,
  acknowledged: readonly Acknowledged[],
) {
  for (const { room, position, what } of acknowledged) {
    const record = records.get(room)!.find(({ sequence }) => sequence === Math.floor(position / ENTRIES_PER_RECORD));
    const entry = record?.entries[position % ENTRIES_PER_RECORD];
    const stored = entry?.[0] === RECEIPT ? entry[5] : entry?.[1].event_id;
    assert.is(stored, what, `what was acknowledged at ${position} of ${room}`);
  }
}

function modelOf(base: number, records: { sequence: number; entries: Body[] }[]): Model {
  const model = new Model(base);
  for (const { sequence, entries } of records) {
    entries.forEach((entry, i) => {
      model.fold(sequence * ENTRIES_PER_RECORD + i, entry);
    });
  }
  return model;
}

/** Asserts that orders are unique, grow with the log, and are the same in every observation. */
function assertOrders({ events }: Model, observed: CheckOptions["observed"]): void {
  const orders = new Map(events.map(({ id, order }) => [id, order]));
  assert.is(new Set(orders.values()).size, events.length);
  const live = events.map(({ order }) => order).filter((order) => order > 0);
  assert.equal(
    live,
    live.toSorted((a, b) => a - b),
  );
  for (const [room, event, order] of observed) assert.is(order, orders.get(event), `${event} of ${room}, observed`);
}

const ordersOf = ({ events }: Model) => events.map(({ id, order }) => [id, order] as const).sort();
const shownOf = (model: Model) => uncovered(markersOf(model, ({ type }) => type === READ));

function markersOf({ markers }: Model, isShown: (marker: ModelMarker) => boolean): SeenMarkers {
  return new Map(
    markers.filter(isShown).map(({ user, type, thread, event, order, ts }) => [
      `${user} ${type} ${thread ?? ""}`,
      // A fully-read marker is published without its time.
      { event, order: Math.max(0, order), ts: type === "m.fully_read" ? 0 : ts },
    ]),
  );
}

/** Asserts that private receipts are only on the subject of their own user. */
function assertPrivate(subject: string, body: Body): void {
  const content: Record<string, Record<string, Record<string, unknown>>> = body.event?.content ?? {};
  for (const types of Object.values(content)) {
    for (const [type, users] of Object.entries(types)) {
      if (subject.startsWith("tidemark.user.")) {
        assert.equal(Object.keys(users), [roomOf(subject)], `${subject} has only its own user`);
      } else assert.is(type, READ, subject);
    }
  }
  if (body.fully_read !== undefined) assert.ok(subject.startsWith("tidemark.user."), subject);
}

/** Asks until it is answered. Throws when nobody has within `limitMs`. */
export async function query(
  { frontend }: Connections,
  room: string,
  op: Body,
  limitMs = ANSWER_LIMIT_MS,
): Promise<Body> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const reply: Body = await frontend
      .request(`tidemark.query.${token(room)}`, pack(op), { timeout: 3_000 })
      .then(({ data }) => decoded(data))
      .catch((error) => ({ ok: false, error: String(error) }));
    if (reply.ok) return reply;
    if (performance.now() > deadline) throw new Error(`no answer to a query about ${room}: ${reply.error}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
