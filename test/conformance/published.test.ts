/**
 * The server's vectors, through a whole Tidemark on a broker of its own: what it answers after each step, what it has published by the
 * end, and what a client makes of that.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ServerStep, ServerVector } from "../../scripts/conformance/vectors.ts";
import { ReadState } from "../../src/frontend/read-state.ts";
import { type Body, eventually, type Inbox, startTidemark, type TidemarkHarness } from "../support/harness.ts";
import {
  type Answers,
  Comparison,
  eventsIn,
  joinsOf,
  placeOf,
  receiptsIn,
  usersIn,
  vectorsOf,
} from "../support/vectors.ts";

const ARRIVED = { live: "event", history: "history", backfill: "backfill" };
const AT_ONCE = 8;
/** A user who is in no vector: reads the last event, so that everything before is published. */
const LAST = "@last:one.example";

/** One room, in which the steps of one vector happen. */
class VectorRoom implements Answers {
  readonly room: string;
  readonly #tidemark: TidemarkHarness;
  readonly #users: readonly string[];
  /** The places of all receipts that a client was shown after some step. */
  readonly shown = new Set<string>();

  constructor(tidemark: TidemarkHarness, vector: ServerVector) {
    this.#tidemark = tidemark;
    this.#users = usersIn(vector);
    this.room = `!${vector.name}:one.example`;
  }

  /** Sends a step. Resolves when it is folded. */
  async send(step: ServerStep): Promise<void> {
    if ("event" in step) await this.#sent(ARRIVED[step.arrives], step.event);
    else if ("state" in step) await this.#sent("state", step.state);
    else if (step.receipt.origin === undefined) await this.#sent("receipt", step.receipt);
    else await this.#sendFrom(step.receipt.origin, step.receipt);
    await this.settled();
    for (const place of await this.places()) this.shown.add(place);
  }

  /** Resolves to the places of all receipts that some client is shown now. */
  async places(): Promise<string[]> {
    const contents = await Promise.all(this.#users.map((user) => this.receipts(user)));
    return contents.flatMap((content) => receiptsIn(content).map(placeOf));
  }

  /** Resolves when everything that was sent is folded. */
  async settled(): Promise<void> {
    const nothing = { event_id: "$nothing", type: "org.example.nothing", state_key: "", sender: LAST, content: {} };
    const [position] = await this.#sent("state", [{ ...nothing, origin_server_ts: 1 }]);
    const foldedThrough = async () => (await this.#ask({ op: "orders", event_ids: ["$nothing"] })).position;
    await eventually(async () => (await foldedThrough()) >= position!, "the step is folded");
  }

  async join(vector: ServerVector): Promise<void> {
    if (vector.joined.length > 0) await this.#sent("state", joinsOf(vector));
  }

  /** Resolves when everything that was sent is published. */
  async published(vector: ServerVector, deltas: Deltas): Promise<void> {
    const id = vector.steps.flatMap(eventsIn).at(-1)!.event_id;
    await this.#sent("receipt", { user_id: LAST, receipt_type: "m.read", event_id: id });
    await eventually(() => deltas.publicReceipts().some(({ user_id: user }) => user === LAST), "all is published");
  }

  async orders(events: readonly string[]): Promise<Record<string, number | null>> {
    return (await this.#ask({ op: "orders", event_ids: events })).orders;
  }

  async receipts(user: string) {
    const { receipts, private: own = {} } = await this.#snapshotOf(user);
    const content: Body = structuredClone(receipts);
    for (const [event, types] of Object.entries(own)) content[event] = { ...content[event], ...(types as object) };
    return content;
  }

  async fullyRead(user: string): Promise<string | undefined> {
    return (await this.#snapshotOf(user)).fully_read?.event_id;
  }

  async read(user: string, events: readonly string[]): Promise<Record<string, boolean | null>> {
    return (await this.#ask({ op: "read", user_id: user, event_ids: events })).read;
  }

  async unread(user: string) {
    const { unthreaded, main, threads } = await this.#ask({ op: "unread", user_id: user });
    const counts = Object.entries(threads).map(([root, { count }]: [string, Body]) => [root, count]);
    return { total: unthreaded.count, main: main.count, threads: Object.fromEntries(counts) };
  }

  async threads(events: readonly string[]): Promise<Record<string, string | null>> {
    return (await this.#ask({ op: "threads", event_ids: events })).threads;
  }

  async #sendFrom(origin: string, receipt: Extract<ServerStep, { receipt: object }>["receipt"]): Promise<void> {
    const { user_id: user, receipt_type: type, event_id: event, ts, thread_id } = receipt;
    const data = { ts, ...(thread_id !== undefined && { thread_id }) };
    const content = { [this.room]: { [type]: { [user]: { event_ids: [event], data } } } };
    const reply = await this.#tidemark.send("edu", origin, content);
    assert.equal([reply.ok, reply.accepted], [true, 1], JSON.stringify(reply));
  }

  #sent(kind: string, body: unknown): Promise<number[]> {
    return this.#tidemark.sent(kind, this.room, body);
  }

  async #ask(question: Record<string, unknown>): Promise<Body> {
    const answer = await this.#tidemark.query(this.room, question);
    assert.is(answer.ok, true, JSON.stringify(answer));
    return answer;
  }

  #snapshotOf(user: string): Promise<Body> {
    return this.#ask({ op: "snapshot", user_id: user, timeline_limit: 0 });
  }
}

/** Everything that is published. */
class Published {
  readonly #everybody: Inbox;
  readonly #own: Inbox;

  constructor(tidemark: TidemarkHarness) {
    this.#everybody = tidemark.subscribe("tidemark.client.*.*.*");
    this.#own = tidemark.subscribe("tidemark.user.*.*.receipts");
  }

  /** Returns the deltas of a room that are for everybody, or for one user alone. */
  of(room: string, user?: string): Body[] {
    const { messages } = user === undefined ? this.#everybody : this.#own;
    return messages
      .map(({ body }) => body)
      .filter(({ room_id, user_id }) => room_id === room && (user === undefined || user_id === user));
  }
}

/** What was published about one room. */
class Deltas {
  readonly #of: (user?: string) => Body[];

  constructor(published: Published, room: string) {
    this.#of = (user) => published.of(room, user);
  }

  events(): Body[] {
    return this.#of().flatMap(({ events = [] }) => events);
  }

  publicReceipts() {
    return this.#of().flatMap(({ event }) => (event === undefined ? [] : receiptsIn(event.content)));
  }

  receipts(users: readonly string[]) {
    const own = users.flatMap((user) => this.#of(user));
    return [...this.publicReceipts(), ...own.flatMap(({ event }) => (event ? receiptsIn(event.content) : []))];
  }

  /** What a client of the user makes of it. */
  readBy(user: string): ReadState {
    const room = new ReadState();
    for (const event of this.events()) room.note(event);
    for (const { event } of [...this.#of(), ...this.#of(user)]) if (event !== undefined) room.apply(event.content);
    return room;
  }
}

/** Compares what was published in the end with what was shown, and what clients make of it with what the workers say. */
async function comparePublished(vector: ServerVector, room: VectorRoom, deltas: Deltas): Promise<void> {
  const published = () => deltas.receipts(usersIn(vector)).filter(({ user_id: user }) => user !== LAST);
  const last = (await room.places()).filter((place) => !place.includes(LAST));
  await eventually(
    () => {
      const places = new Set(published().map(placeOf));
      return last.every((place) => places.has(place));
    },
    `${vector.name}: ${last.join("; ")} are published`,
  );
  const ids = [...new Set(vector.steps.flatMap(eventsIn).map(({ event_id: id }) => id))];
  const orders = await room.orders(ids);
  for (const receipt of published()) {
    const place = placeOf(receipt);
    assert.ok(room.shown.has(place), `${vector.name}: ${place} is published, and shown to nobody`);
    assert.is(receipt.order, Math.max(0, orders[receipt.event_id]!), `${vector.name}: the order of ${place}`);
  }
  for (const { event_id: id, unsigned } of deltas.events()) {
    assert.is(unsigned.order, orders[id], `${vector.name}: the order of ${id}`);
  }
  const isTold = (user: string) =>
    vector.joined.includes(user) || vector.steps.flatMap(eventsIn).some(({ state_key: key }) => key === user);
  for (const user of vector.steps.some((step) => "state" in step) ? [] : usersIn(vector).filter(isTold)) {
    const state = deltas.readBy(user);
    const { total, main, threads } = state.unread(user);
    const unread = { total, main, threads: Object.fromEntries(threads) };
    assert.equal(unread, await room.unread(user), `${vector.name}: unread of ${user}`);
    const read = await room.read(user, ids);
    for (const id of ids) assert.is(state.isRead(id, user), read[id], `${vector.name}: ${user} has read ${id}`);
  }
}

const vectors = suite("the server's vectors, through the bus");

vectors("hold after each step, and for what is published", async () => {
  await using tidemark = await startTidemark();
  const published = new Published(tidemark);
  const run = async (vector: ServerVector) => {
    const room = new VectorRoom(tidemark, vector);
    const deltas = new Deltas(published, room.room);
    const comparison = new Comparison(vector);
    await room.join(vector);
    for (const step of vector.steps) {
      await room.send(step);
      await comparison.compare(step, room);
    }
    await room.published(vector, deltas);
    await comparePublished(vector, room, deltas);
    return comparison.faults;
  };
  const faults: string[] = [];
  const queue = (await vectorsOf("server")).values();
  const work = async () => {
    for (const vector of queue) faults.push(...(await run(vector)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  assert.equal(faults, []);
});

vectors.run();
