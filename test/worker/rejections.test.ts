/** Rejections are published beside the deltas, and hold up nothing else (docs/design.md#what-is-published). */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Outgoing } from "../../src/bus/client/acked-publisher.ts";
import { encode } from "../../src/bus/contract/codec.ts";
import { rejectedSubject } from "../../src/bus/contract/subjects.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { REJECTIONS_WAITING_MAX, RejectionPublisher } from "../../src/worker/rejection-publisher.ts";
import { FakeBroker } from "../support/acked.ts";
import { eventually, message, receipt, startTidemark, token } from "../support/harness.ts";

const ROOM = "!rejected:a.org";
const BOB = "@bob:a.org";

/** Rejections with these numbers. */
function numbered(...numbers: readonly number[]): Outgoing[] {
  return numbers.map((n) => ({ subject: rejectedSubject(0, ROOM as RoomId), payload: encode({ n }) }));
}

function startPublisher() {
  const broker = new FakeBroker();
  let settled = 0;
  const logged: string[] = [];
  const notices: boolean[] = [];
  const publisher = new RejectionPublisher({
    partition: 0,
    acked: broker,
    log: pino({}, { write: (line: string) => logged.push(line) }),
    unacknowledged: (isThere) => notices.push(isThere),
    settled: () => settled++,
  });
  const sent = () => broker.sent.map(({ payload }) => payload.n);
  return {
    broker,
    publisher,
    sent,
    logged,
    notices,
    settled: () => settled,
    [Symbol.dispose]: () => publisher.close(),
  };
}

const rejections = suite("rejections");

rejections(
  "without their stream hold up neither deltas nor checkpoints, and are published once it is made again",
  async () => {
    await using tidemark = await startTidemark({ partitions: 1 });
    await tidemark.jsm.streams.delete("TIDEMARK_REJECTED");
    const markers = tidemark.subscribe(`tidemark.client.0.${token(ROOM)}.receipts`);
    const marks = await tidemark.nc.jetstream().views.kv("tidemark_published");
    await tidemark.sent("event", ROOM, message("$1"));
    for (let i = 0; i < 3; i++) {
      await tidemark.sent("receipt", ROOM, receipt(BOB, "$1", { thread_id: `$elsewhere${i}` }));
      const [position] = await tidemark.sent("receipt", ROOM, receipt(`@u${i}:a.org`, "$1"));
      await markers.next((body) => body.position === position);
      await eventually(async () => {
        const mark = (await marks.get("partition.0"))?.json<{ published: number }>();
        return mark !== undefined && mark.published >= position!;
      }, "the checkpoint");
    }

    const stored = () =>
      tidemark.jsm.streams.info("TIDEMARK_REJECTED").then(
        ({ state }) => state.messages,
        () => 0, // It isn't made again yet.
      );
    await eventually(async () => (await stored()) === 3, "all three are published");
  },
);

rejections("count as unpublished until their first try has ended, and no longer", async () => {
  using started = startPublisher();
  const { broker, publisher } = started;
  publisher.send(numbered(1), 10);
  publisher.send(numbered(2), 12);
  assert.is(publisher.oldest(), 10);
  (await broker.next()).ack();
  await eventually(() => started.settled() === 1, "the first has settled");
  assert.is(publisher.oldest(), 12);
  (await broker.next()).fail();
  await eventually(() => started.settled() === 2, "the second has settled");
  assert.is(publisher.oldest(), undefined);
  publisher.send(numbered(3), 14);
  assert.is(publisher.oldest(), undefined, "behind one that waits, nothing counts");
});

rejections("that failed are tried again, in their order, until they are acknowledged", async () => {
  using started = startPublisher();
  const { broker, publisher } = started;
  publisher.send(numbered(1, 2), 10);
  (await broker.next()).fail();
  (await broker.next()).ack();
  (await broker.next()).fail();
  publisher.send(numbered(3), 12);
  (await broker.next()).ack();
  (await broker.next()).ack();
  assert.equal(started.sent(), [1, 2, 1, 1, 3]);
  await publisher.drain();
  assert.equal(started.notices.slice(0, 3), [true, true, false]);
  assert.not.ok(started.notices.slice(3).includes(true), "what is wrong is over");
  assert.equal(started.logged, []);
});

rejections("that wait are at most so many: the oldest are dropped", async () => {
  using started = startPublisher();
  const { broker, publisher } = started;
  publisher.send(numbered(0), 10);
  (await broker.next()).fail();
  await eventually(() => started.settled() === 1, "it waits");
  publisher.send(numbered(...Array.from({ length: REJECTIONS_WAITING_MAX }, (_, i) => i + 1)), 11);
  broker.acking = true;
  await publisher.drain();
  assert.is(started.sent().length, 1 + REJECTIONS_WAITING_MAX);
  assert.is(started.sent()[1], 1);
});

rejections("that still fail in a drain are given up, with a line that says so", async () => {
  using started = startPublisher();
  const { broker, publisher } = started;
  publisher.send(numbered(1), 10);
  const drained = publisher.drain();
  (await broker.next()).fail();
  await drained;
  assert.is(started.logged.filter((line) => line.includes("rejections are given up")).length, 1);
});

rejections.run();
