import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { DELTAS_AGE_MS, FLUSH_WINDOW_MS } from "../../src/limits.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import { READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import { PENDING_CHANGES_MAX, PENDING_CHANGES_RESUME, Publisher } from "../../src/worker/publisher.ts";
import { FakeBroker } from "../support/acked.ts";
import { live, receipt } from "../support/entries.ts";
import { BOB, CARA } from "../support/example-room.ts";
import { at } from "../support/given.ts";

const A = "!a:one.example" as RoomId;
const B = "!b:one.example" as RoomId;
const C = "!c:one.example" as RoomId;
const START = 1_700_000_000_000;

/** The rooms of a partition. The nth entry of its log has the position `at(n)`. */
class Harness {
  readonly broker = new FakeBroker();
  readonly publisher: Publisher;
  /** What the publisher says of missing acknowledgements. */
  readonly notices: boolean[] = [];
  readonly #rooms = new Map<RoomId, Room>();
  #count = 0;

  constructor(published = 0) {
    const unacknowledged = (isThere: boolean) => this.notices.push(isThere);
    const log = pino({ level: "silent" });
    this.publisher = new Publisher({ partition: 0, acked: this.broker, published, unacknowledged, log });
  }

  /** Folds an entry as the next one of the log, or as the nth. */
  fold(entry: Entry, { room: id = A, n = this.#count + 1, clock = START } = {}): void {
    this.#count = Math.max(this.#count, n);
    const room = this.#rooms.get(id) ?? new Room(id, 0);
    this.#rooms.set(id, room);
    const outcome = fold(room, at(n), entry);
    this.publisher.add(room, { position: at(n), at: clock, entry, outcome });
  }

  /** Takes the next message, and acknowledges it. */
  async acked(kind: "events" | "receipts" | "rejected") {
    const sent = await this.broker.next();
    assert.match(sent.subject, kind);
    sent.ack();
    return sent;
  }

  [Symbol.dispose](): void {
    this.publisher.close();
  }
}

/** Runs everything that is ready, without waiting for timers. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

const publisher = suite("the publisher");

publisher("sends the changes of an idle room at once, those of one fetch together", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(live("$b"));
  assert.is(harness.broker.sent.length, 0);
  await turn();
  assert.is(harness.broker.sent.length, 1);
  const { subject, payload } = await harness.acked("events");
  assert.is(subject, "tidemark.client.0.!a:one%2Eexample.events");
  assert.equal([payload.v, payload.room_id, payload.position, payload.previous], [1, A, at(2), 0]);
  assert.equal(
    payload.events.map((event: { event_id: string; unsigned: unknown }) => [event.event_id, event.unsigned]),
    [
      ["$a", { order: 1 }],
      ["$b", { order: 2 }],
    ],
  );
});

publisher("sends markers only after their events are acknowledged", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(receipt(BOB, "$a", { ts: 5 }));
  const events = await harness.broker.next();
  await turn();
  assert.is(harness.broker.waiting, 0);
  events.ack();
  const { subject, payload } = await harness.acked("receipts");
  assert.is(subject, "tidemark.client.0.!a:one%2Eexample.receipts");
  assert.equal(payload, {
    v: 1,
    room_id: A,
    position: at(2),
    previous: 0,
    event: { type: "m.receipt", content: { $a: { "m.read": { [BOB]: { ts: 5, order: 1 } } } } },
  });
});

publisher("sends markers as they were when their events were sent, although they have moved since", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(receipt(BOB, "$a"));
  const events = await harness.broker.next();
  harness.fold(receipt(CARA, "$a"));
  harness.fold(live("$b"));
  harness.fold(receipt(BOB, "$b"));
  events.ack();
  const first = await harness.acked("receipts");
  assert.equal(first.payload.event.content, { $a: { "m.read": { [BOB]: { ts: START, order: 1 } } } });
  assert.is(first.payload.position, at(2));
  await harness.acked("events");
  const second = await harness.acked("receipts");
  assert.equal(Object.keys(second.payload.event.content).sort(), ["$a", "$b"]);
  assert.equal([second.payload.previous, second.payload.position], [at(2), at(5)]);
});

publisher("sends one delta per room and window, in which later markers replace earlier ones", async () => {
  using harness = new Harness();
  for (const id of ["$a", "$b", "$c", "$d"]) harness.fold(live(id));
  harness.fold(receipt(BOB, "$a"));
  const { at: begun } = await harness.acked("events");
  await harness.acked("receipts");
  await turn();
  harness.fold(receipt(BOB, "$b"));
  await turn();
  harness.fold(receipt(BOB, "$c"));
  harness.fold(receipt(CARA, "$a"));
  await turn();
  harness.fold(receipt(BOB, "$d", { ts: 9 }));
  const { payload, at: then } = await harness.acked("receipts");
  assert.ok(then - begun > FLUSH_WINDOW_MS - 2, `after ${then - begun} ms`);
  assert.equal(payload.event.content, {
    $d: { "m.read": { [BOB]: { ts: 9, order: 4 } } },
    $a: { "m.read": { [CARA]: { ts: START, order: 1 } } },
  });
  assert.equal([payload.previous, payload.position], [at(5), at(9)]);
  await harness.publisher.drain();
  assert.is(harness.broker.waiting, 0);
});

publisher("gives each room its own window", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  await harness.acked("events");
  harness.fold(live("$b"));
  harness.fold(live("$c"), { room: B });
  await turn();
  assert.equal((await harness.acked("events")).payload.room_id, B);
  assert.equal((await harness.acked("events")).payload.room_id, A);
});

publisher("flushes one delta at a time: a slow broker leads to larger deltas, not to more", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  const first = await harness.broker.next();
  const deadline = performance.now() + 2 * FLUSH_WINDOW_MS;
  for (let i = 0; performance.now() < deadline; i++) {
    harness.fold(live(`$${i}`), { room: i % 2 === 0 ? A : B });
    await turn();
  }
  assert.is(harness.broker.waiting, 0);
  harness.broker.acking = true;
  first.ack();
  await harness.publisher.drain();
  assert.is(harness.broker.waiting, 2);
});

publisher("retries only what was not acknowledged, until it is", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(live("$b"), { room: B });
  harness.fold(receipt(BOB, "$a"));
  (await harness.broker.next()).ack();
  (await harness.broker.next()).fail();
  for (const end of ["fail", "ack"] as const) {
    const again = await harness.broker.next();
    assert.equal([again.payload.room_id, again.payload.events[0].event_id], [B, "$b"]);
    await turn();
    assert.is(harness.broker.waiting, 0);
    again[end]();
  }
  assert.is((await harness.acked("receipts")).payload.room_id, A);
  assert.equal(harness.notices, [true, true, false]);
});

publisher("has a header with the position through which everything is acknowledged", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(receipt(BOB, "$a"));
  assert.is((await harness.acked("events")).published, at(1) - 1);
  assert.is((await harness.acked("receipts")).published, at(1) - 1);
  harness.fold(live("$b"));
  harness.fold(live("$c"), { room: B });
  // Room A waits for its window, so room B's message must not say that A's change is published.
  assert.equal([(await harness.acked("events")).published], [at(3) - 1]);
  assert.is((await harness.acked("events")).published, at(3) - 1);
});

publisher("knows the oldest waiting change, although the rooms of a fetch are folded one after the other", async () => {
  using harness = new Harness();
  harness.fold(live("$b1"), { room: B, n: 1 });
  harness.fold(live("$c1"), { room: C, n: 2 });
  await harness.broker.next().then(({ ack }) => ack());
  await harness.broker.next().then(({ ack }) => ack());
  await turn();
  // One fetch: entry 4 is B's, entry 3 is C's, and entry 5 is A's, which is sent at once.
  harness.fold(live("$b2"), { room: B, n: 4 });
  harness.fold(live("$c2"), { room: C, n: 3 });
  harness.fold(live("$a1"), { room: A, n: 5 });
  const sent = await harness.acked("events");
  assert.ok(sent.published < at(3), `the header says ${sent.published}, but ${at(3)} was not sent`);
  harness.broker.acking = true;
  await harness.publisher.drain();
});

publisher("sends nothing that was published before, and continues from there", async () => {
  using harness = new Harness(at(2));
  harness.fold(live("$a"));
  harness.fold(receipt(BOB, "$a"));
  harness.fold(live("$b"));
  harness.fold(receipt(BOB, "$b"));
  const { payload } = await harness.acked("events");
  assert.equal([payload.previous, payload.position, payload.events.length], [at(1), at(3), 1]);
  const markers = await harness.acked("receipts");
  assert.equal([markers.payload.previous, markers.payload.position], [at(2), at(4)]);
});

publisher("sends nothing of what is skipped, and all that follows, whatever its clock says", async () => {
  using harness = new Harness();
  harness.publisher.passOver(at(1));
  harness.fold(live("$a"));
  harness.fold(live("$b"), { clock: START - 100 * DELTAS_AGE_MS });
  const { payload } = await harness.acked("events");
  assert.equal([payload.previous, payload.position, payload.events.length], [at(1), at(2), 1]);
});

publisher("sends nothing for entries that change nothing", async () => {
  using harness = new Harness();
  harness.fold(receipt(BOB, "$later"));
  harness.fold([3, live("$s")[1]]);
  await turn();
  assert.is(harness.broker.sent.length, 0);
  await harness.publisher.drain();
  assert.is(harness.broker.sent.length, 0);
});

publisher("drains all rooms, even within their windows", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  await harness.acked("events");
  harness.broker.acking = true;
  harness.fold(live("$b"));
  for (let i = 0; i < 1_500; i++) harness.fold(live("$x"), { room: `!${i}:one.example` as RoomId });
  harness.fold(receipt(BOB, "$b"));
  await harness.publisher.drain();
  assert.is(harness.broker.waiting, 1_502);
  harness.fold(live("$c"));
  await harness.publisher.drain();
  assert.is(harness.broker.waiting, 1_503);
});

publisher("flushes one delta at a time while it drains, too", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  const drain = harness.publisher.drain();
  const first = await harness.broker.next();
  await turn();
  harness.fold(live("$b"), { room: B });
  await turn();
  assert.is(harness.broker.waiting, 0);
  harness.broker.acking = true;
  first.ack();
  await drain;
  assert.is(harness.broker.waiting, 1);
});

publisher("stops when it is closed: it retries nothing, and sends no marker of an unacknowledged event", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  harness.fold(receipt(BOB, "$a"));
  const events = await harness.broker.next();
  harness.publisher.close();
  events.fail();
  await turn();
  harness.fold(live("$b"), { room: B });
  await turn();
  await harness.publisher.drain();
  assert.is(harness.broker.waiting, 0);
  assert.not.ok(harness.notices.includes(true));
});

publisher("is overloaded when too many changes wait, and relieved when they are sent", async () => {
  using harness = new Harness();
  harness.fold(live("$a"));
  const first = await harness.broker.next();
  const changed = (n: number) => {
    for (let i = 0; i < n; i++) harness.fold(receipt(`@u${i}:one.example` as UserId, "$a", { type: READ_PRIVATE }));
  };
  changed(PENDING_CHANGES_MAX - 1);
  assert.not(harness.publisher.overloaded);
  harness.fold(receipt(BOB, "$a"));
  assert.ok(harness.publisher.overloaded);
  let relieved = false;
  const relief = harness.publisher.relieved().then(() => {
    relieved = true;
  });
  await turn();
  assert.not(relieved);
  harness.broker.acking = true;
  first.ack();
  await relief;
  assert.not(harness.publisher.overloaded);
  assert.ok(PENDING_CHANGES_RESUME < PENDING_CHANGES_MAX);
});

publisher.run();
