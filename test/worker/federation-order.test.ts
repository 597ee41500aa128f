/** I20, I24: what a federation publisher does while publishes fail, in any order of its two lanes; and how much it does in a turn. */

import { mock } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIVE, positionOf, STATE } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { decode } from "../../src/bus/contract/codec.ts";
import type { Subject } from "../../src/bus/contract/subjects.ts";
import { serverName } from "../../src/matrix/ids.ts";
import { receiptsIn } from "../../src/matrix/receipt-edu.ts";
import { SLICE_BYTES_MAX, SLICE_MESSAGES_MAX } from "../../src/worker/edu-messages.ts";
import { FederationPublisher } from "../../src/worker/federation-publisher.ts";
import { inThread } from "../support/entries.ts";
import { ROOM } from "../support/example-room.ts";
import { member } from "../support/outbox.ts";
import { checkAsync } from "../support/property.ts";
import { event, receipt } from "../support/session-fold.ts";
import { ThreadTraffic } from "../support/thread-traffic.ts";

const WINDOW_MS = 1_000;

type Fate = "stored" | "stored, not acknowledged" | "lost";

/** A room with members on this many servers, ours included, and a publisher of its receipts, over a broker that loses what it is told to. */
class Published {
  readonly room = new Room(ROOM, 0);
  readonly publisher: FederationPublisher;
  /** What has been stored, in order: `server user thread`, and the number of the event. */
  readonly stored: (readonly [key: string, event: number])[] = [];
  /** Messages, and their bytes, of this turn, and the most of any. */
  turn = { messages: 0, bytes: 0 };
  readonly most = { messages: 0, bytes: 0 };
  fates: readonly Fate[] = [];
  isYoung = true;
  #fate = 0;
  #sequence = 0;

  constructor(servers: number) {
    this.publisher = new FederationPublisher({
      serverNames: [serverName.parse("here.example")],
      windowMs: WINDOW_MS,
      shards: 4,
      acked: { publish: this.#publish },
      isNew: () => this.isYoung,
    });
    for (let i = 0; i < servers; i++) {
      this.fold([STATE, member(i === 0 ? "@u:here.example" : `@u:s${i}.example`)]);
    }
  }

  fold(entry: Parameters<typeof fold>[2]): void {
    const position = positionOf(++this.#sequence, 0);
    this.publisher.add(this.room, { position, at: 0, entry, outcome: fold(this.room, position, entry) }, false);
  }

  /** Lets timers that are due fire, and everything go on that doesn't wait for one. */
  async pass(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turns = 0; turns < 8; turns++) {
      await nextTurn();
      this.turn = { messages: 0, bytes: 0 };
    }
  }

  async drain(): Promise<void> {
    let isDone = false;
    const drained = this.publisher.drain().then(() => {
      isDone = true;
    });
    while (!isDone) await this.pass(10_000);
    await drained;
    this.publisher.close();
  }

  readonly #publish = async (subject: Subject, payload: Uint8Array): Promise<number> => {
    this.turn.messages++;
    this.turn.bytes += payload.length;
    this.most.messages = Math.max(this.most.messages, this.turn.messages);
    this.most.bytes = Math.max(this.most.bytes, this.turn.bytes);
    const fate = this.fates[this.#fate++ % this.fates.length] ?? "stored";
    if (fate !== "lost") {
      const { destination, edu } = decode(payload) as { destination: string; edu: Parameters<typeof receiptsIn>[0] };
      assert.ok(subject.endsWith(destination.replaceAll(".", "%2E")));
      for (const { user, thread, event: id } of receiptsIn(edu)) {
        this.stored.push([`${destination} ${user} ${thread ?? "-"}`, Number(id.slice(1))]);
      }
    }
    if (fate !== "stored") throw new Error("not acknowledged");
    return 1;
  };
}

/** Timers that only `Published.pass` moves on, until it is disposed of. */
function mockedTimers(): Disposable {
  mock.timers.enable({ apis: ["setTimeout"] });
  return { [Symbol.dispose]: () => mock.timers.reset() };
}

/** Writes an event in each of this many threads, and reads it there. */
function readInThreads(published: Published, threads: number): void {
  for (let i = 1; i <= threads; i++) {
    const thread = `$root${i}`;
    published.fold([LIVE, event(`$${i}`, inThread(thread))]);
    published.fold(receipt(`$${i}`, { user: "@reader:here.example", thread }));
  }
}

const order = suite("order of what a federation publisher sends");

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ read: fc.nat(20), user: fc.nat(1), threaded: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ write: fc.nat(6), by: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ pass: fc.constantFrom(5, 25, 60, 400, WINDOW_MS) }) },
  { weight: 1, arbitrary: fc.record({ young: fc.boolean() }) },
);
const fate = fc.constantFrom<Fate>("stored", "stored", "stored", "stored, not acknowledged", "lost");

order("is the order of the receipts, and none is lost, whatever fails and when (I24)", async () => {
  using _timers = mockedTimers();
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(3, 12),
      fc.array(step, { maxLength: 60 }),
      fc.array(fate, { maxLength: 20 }),
      async (servers, steps, fates) => {
        const published = new Published(servers);
        published.fold([LIVE, event("$1")]);
        published.fates = fates;
        const traffic = new ThreadTraffic();
        for (const one of steps) {
          if ("pass" in one) await published.pass(one.pass);
          else if ("young" in one) published.isYoung = one.young;
          else published.fold(traffic.entryOf(one));
        }
        published.fates = [];
        await published.drain();
        const last = new Map<string, number>();
        for (const [key, id] of published.stored) {
          assert.ok(id >= (last.get(key) ?? 0), `${key}: $${id} after $${last.get(key)}`);
          last.set(key, id);
        }
        for (const { user, thread, event: id } of published.room.markers) {
          for (let i = 1; i < servers; i++) {
            assert.is(last.get(`s${i}.example ${user} ${thread ?? "-"}`), Number(id.slice(1)));
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

order("takes no long turns: 200 threads of a user, for 300 servers (I20)", async () => {
  using _timers = mockedTimers();
  const published = new Published(300);
  readInThreads(published, 200);
  assert.is(published.stored.length, 0);
  for (let window = 1; window <= 3; window++) {
    await published.pass(WINDOW_MS);
    assert.is(published.stored.length, window * 4 * 299);
    await published.pass(WINDOW_MS - 1);
    assert.is(published.stored.length, window * 4 * 299, "the rest waits for the next window");
  }
  await published.drain();
  assert.is(new Set(published.stored.map(([key]) => key)).size, 200 * 299);
  assert.is(published.stored.length, 200 * 299);
  assert.ok(published.most.messages <= SLICE_MESSAGES_MAX, `${published.most.messages} messages in a turn`);
});

order("takes no long turns: receipts of 5,000 users", async () => {
  using _timers = mockedTimers();
  const published = new Published(20);
  published.fold([LIVE, event("$1")]);
  for (let i = 0; i < 5_000; i++) published.fold(receipt("$1", { user: `@reader-${i}:here.example` }));
  await published.pass(WINDOW_MS);
  await published.drain();
  assert.is(new Set(published.stored.map(([key]) => key)).size, 5_000 * 19);
  assert.ok(published.most.bytes <= SLICE_BYTES_MAX + 65_536, `${published.most.bytes} bytes in a turn`);
});

order("holds back what waits for it, until the backlog is released", async () => {
  using _timers = mockedTimers();
  const published = new Published(12);
  readInThreads(published, 9);
  let isPublished = false;
  void published.publisher.published(published.room.position).then(() => {
    isPublished = true;
  });
  await published.pass(WINDOW_MS);
  assert.is(published.stored.length, 4 * 11);
  assert.not(isPublished);
  published.publisher.releaseBacklog();
  await published.pass(0);
  assert.ok(isPublished);
  await published.pass(WINDOW_MS);
  await published.pass(WINDOW_MS);
  assert.is(published.stored.length, 9 * 11);
  await published.drain();
});

order.run();
