/** What must hold after any history, asserted from the outside: from the log, the delta streams, and what queries say. */
import type { NatsConnection, StreamInfo } from "nats";
import * as assert from "uvu/assert";
import { DeltaReader, markersIn, type SeenMarkers, uncovered } from "../support/delta-reader.ts";
import { type Body, decoded, LIMIT_MS, pack, token } from "../support/harness.ts";
import { Model } from "../support/model.ts";
import type { Acknowledged } from "./workload.ts";

const ENTRIES_PER_RECORD = 1_024;
const RECEIPT = 2;
const LEADER_LIMIT_MS = 60_000;

export interface Connections {
  readonly admin: NatsConnection;
  readonly frontend: NatsConnection;
}

interface StreamMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly body: Body;
}

/** A stream may be without a leader for a while after the last fault. */
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

/** Everything that a stream has of these rooms, in its order. */
async function streamMessages(nc: NatsConnection, stream: string): Promise<StreamMessage[]> {
  const { state } = await streamInfo(nc, stream);
  if (state.messages === 0) return [];
  const consumer = await nc.jetstream().consumers.get(stream);
  const found: StreamMessage[] = [];
  for await (const message of await consumer.consume()) {
    found.push({ subject: message.subject, sequence: message.seq, body: decoded(message.data) });
    if (message.seq >= state.last_seq) break;
  }
  return found;
}

const roomOf = (subject: string, token = 3) => decodeURIComponent(subject.split(".")[token]!);

export interface CheckOptions extends Connections {
  readonly partitions: number;
  readonly rooms: readonly string[];
  readonly acknowledged: readonly Acknowledged[];
  /** Orders that were observed while the faults went on: [room, event, order]. */
  readonly observed: readonly (readonly [room: string, event: string, order: number])[];
}

export async function check(options: CheckOptions): Promise<void> {
  const { admin, partitions, rooms, acknowledged, observed } = options;
  const wanted = new Set(rooms);
  const records = new Map<string, { sequence: number; entries: Body[] }[]>(rooms.map((room) => [room, []]));
  for (let partition = 0; partition < partitions; partition++) {
    for (const { subject, sequence, body } of await streamMessages(admin, `TIDEMARK_LOG_${partition}`)) {
      const room = roomOf(subject);
      if (wanted.has(room)) records.get(room)!.push({ sequence, entries: body[2] });
    }
  }
  assertStored(records, acknowledged);

  const reader = new DeltaReader({ repeats: true });
  for (let partition = 0; partition < partitions; partition++) {
    for (const { subject, body } of await streamMessages(admin, `TIDEMARK_DELTAS_${partition}`)) {
      assertPrivate(subject, body);
      if (subject.startsWith("tidemark.client.") && wanted.has(body.room_id)) reader.read(subject, body);
    }
  }
  for (const room of rooms) {
    const model = modelOf(records.get(room)!);
    assertOrders(
      model,
      observed.filter(([of]) => of === room),
    );
    const events = model.events.map(({ id, order }) => [id, order] as const).sort();
    assert.equal([...reader.room(room).orders].sort(), events, `${room}: deltas told each event and its order`);
    const snapshot = await query(options, room, { op: "snapshot", timeline_limit: 0 });
    const modelled = uncovered(publicMarkers(model));
    assert.equal(uncovered(markersIn(snapshot.receipts)), modelled, `${room}: the snapshot has the model's markers`);
    assert.equal(uncovered(reader.room(room).markers), modelled, `${room}: a reader of deltas has them`);
  }
}

/** Each `ok: true` names a place where the log has that very entry. */
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

function modelOf(records: { sequence: number; entries: Body[] }[]): Model {
  const model = new Model();
  for (const { sequence, entries } of records) {
    entries.forEach((entry, i) => {
      model.fold(sequence * ENTRIES_PER_RECORD + i, entry);
    });
  }
  return model;
}

/** Unique, growing with the log, and never another one at any observation. */
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

function publicMarkers({ markers }: Model): SeenMarkers {
  const shown = markers.filter(({ type }) => type === "m.read");
  return new Map(
    shown.map(({ user, type, thread, event, order, ts }) => [
      `${user} ${type} ${thread ?? ""}`,
      { event, order: Math.max(0, order), ts },
    ]),
  );
}

/** Private receipts are on their own user's subject, and on no other. */
function assertPrivate(subject: string, body: Body): void {
  const content: Record<string, Record<string, Record<string, unknown>>> = body.event?.content ?? {};
  for (const types of Object.values(content)) {
    for (const [type, users] of Object.entries(types)) {
      if (subject.startsWith("tidemark.user.")) {
        assert.equal(Object.keys(users), [roomOf(subject)], `${subject} is of one user`);
      } else assert.is(type, "m.read", subject);
    }
  }
  if (body.fully_read !== undefined) assert.ok(subject.startsWith("tidemark.user."), subject);
}

export async function query({ frontend }: Connections, room: string, op: Body): Promise<Body> {
  const deadline = performance.now() + 3 * LIMIT_MS;
  for (;;) {
    const reply: Body = await frontend
      .request(`tidemark.query.${token(room)}`, pack(op), { timeout: 3_000 })
      .then(({ data }) => decoded(data))
      .catch((error) => ({ ok: false, error: String(error) }));
    if (reply.ok) return reply;
    if (performance.now() > deadline) throw new Error(`no answer about ${room}: ${reply.error}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
