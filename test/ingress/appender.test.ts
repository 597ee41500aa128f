import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, positionOf } from "../../actors/entry.ts";
import { decodeRecord, type EncodedEntries, encodeEntries, joinRecord } from "../../src/bus/contract/record.ts";
import { TidemarkError } from "../../src/errors.ts";
import { Appender, GROUP_BYTES_MAX } from "../../src/ingress/appender.ts";
import { ENTRIES_PER_RECORD_MAX, IN_FLIGHT_BYTES_MAX, RETRY_AFTER_MS } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { receipt } from "../support/entries.ts";
import { BOB } from "../support/example-room.ts";

const A = "!a:one.example" as RoomId;
const B = "!b:one.example" as RoomId;

interface Append {
  readonly room: RoomId;
  readonly entries: readonly Entry[];
  readonly stored: (sequence: number) => void;
  readonly failed: (error: Error) => void;
}

/** A log whose appends the test completes. */
class FakeLog {
  readonly appends: Append[] = [];
  #arrived: (() => void) | undefined;

  readonly append = (room: RoomId, parts: readonly EncodedEntries[]): Promise<number> =>
    new Promise((stored, failed) => {
      this.appends.push({ room, entries: entriesIn(joinRecord(1, parts)), stored, failed });
      this.#arrived?.();
    });

  /** Resolves once there are this many appends. */
  async reached(count: number): Promise<void> {
    while (this.appends.length < count) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }
}

function entriesIn(record: Uint8Array): readonly Entry[] {
  const decoded = decodeRecord(1, record);
  assert.is.not(typeof decoded, "string");
  return (decoded as { readonly entries: readonly Entry[] }).entries;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const some = (count: number) => Array.from({ length: count }, (_, i) => receipt(BOB, `$${i}`));
const request = (count = 1, { room = A, bytes = 100 } = {}) => ({
  room,
  entries: encodeEntries(some(count)),
  bytes,
});
const sizes = ({ appends }: FakeLog) => appends.map(({ entries }) => entries.length);
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "stored",
    (error: Error) => error.message,
  );

/** The error that `add` throws. */
function refusal(appender: Appender, bytes: number): TidemarkError {
  try {
    void appender.add(request(1, { bytes }));
  } catch (error) {
    assert.instance(error, TidemarkError);
    return error as TidemarkError;
  }
  throw new Error("the request was accepted");
}

const appender = suite("the appender");

appender("appends all requests for a room in one turn together, without a delay", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const first = appender.add(request(2));
  const second = appender.add(request(1, { room: B }));
  const third = appender.add(request(3));
  assert.equal(log.appends, []);
  await turn();
  assert.equal(
    log.appends.map(({ room, entries }) => [room, entries.length]),
    [
      [A, 5],
      [B, 1],
    ],
  );
  log.appends[0]!.stored(7);
  log.appends[1]!.stored(8);
  assert.equal(await first, [positionOf(7, 0), positionOf(7, 1)]);
  assert.equal(await third, [positionOf(7, 2), positionOf(7, 3), positionOf(7, 4)]);
  assert.equal(await second, [positionOf(8, 0)]);
});

appender("keeps the order of requests and of their entries", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const entries = some(4);
  void appender.add({ room: A, entries: encodeEntries(entries.slice(0, 1)), bytes: 1 });
  void appender.add({ room: A, entries: encodeEntries(entries.slice(1)), bytes: 1 });
  await turn();
  assert.equal(log.appends[0]!.entries, entries);
});

appender("batches requests while an append is pending, until it is stored", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const first = appender.add(request());
  await turn();
  const others = [appender.add(request()), appender.add(request())];
  log.appends[0]!.stored(1);
  await first;
  assert.equal(sizes(log), [1, 2]);
  log.appends[1]!.stored(2);
  assert.equal(await Promise.all(others), [[positionOf(2, 0)], [positionOf(2, 1)]]);
});

appender("batches requests until a pending append fails, too", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const first = appender.add(request());
  await turn();
  const second = appender.add(request());
  log.appends[0]!.failed(new Error("disk full"));
  assert.is(await reasonOf(first), "disk full");
  assert.equal(sizes(log), [1, 1]);
  log.appends[1]!.stored(2);
  assert.equal(await second, [positionOf(2, 0)]);
});

appender("batches for a while, and then appends without an acknowledgement of what is before", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  void appender.add(request());
  await turn();
  void appender.add(request());
  void appender.add(request());
  await log.reached(2);
  assert.equal(sizes(log), [1, 2]);
});

appender("does not delay a room because of another", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  void appender.add(request());
  await turn();
  void appender.add(request(1, { room: B }));
  await turn();
  assert.equal(sizes(log), [1, 1]);
});

appender("never splits a request over records, and never exceeds the size of a record", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const counts = [1_000, 24, 1, 1_023, 1, ENTRIES_PER_RECORD_MAX];
  const added = counts.map((count) => appender.add(request(count, { bytes: 10 })));
  await log.reached(4);
  assert.equal(sizes(log), [1_024, 1_024, 1, 1_024]);
  log.appends.forEach(({ stored }, i) => {
    stored(i + 1);
  });
  assert.equal(
    (await Promise.all(added)).map((positions) => [positions[0], positions.length]),
    [
      [positionOf(1, 0), 1_000],
      [positionOf(1, 1_000), 24],
      [positionOf(2, 0), 1],
      [positionOf(2, 1), 1_023],
      [positionOf(3, 0), 1],
      [positionOf(4, 0), 1_024],
    ],
  );
});

appender("limits the bytes of a group, except for a single larger request", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  for (const bytes of [GROUP_BYTES_MAX - 1, 1, 1, GROUP_BYTES_MAX + 1, 1]) void appender.add(request(1, { bytes }));
  await log.reached(4);
  assert.equal(sizes(log), [2, 1, 1, 1]);
});

appender(
  "refuses requests when too much is in flight, and accepts them again when appends succeed or fail",
  async () => {
    const log = new FakeLog();
    const appender = new Appender(log.append);
    const half = IN_FLIGHT_BYTES_MAX / 2;
    const added = [appender.add(request(1, { bytes: half })), appender.add(request(1, { room: B, bytes: half }))];
    const error = refusal(appender, 1);
    assert.is(error.code, "M_LIMIT_EXCEEDED");
    assert.is(error.retryAfterMs, RETRY_AFTER_MS);
    await turn();
    refusal(appender, 1);

    log.appends[0]!.stored(1);
    await added[0];
    refusal(appender, half + 1);
    void appender.add(request(1, { bytes: half }));
    refusal(appender, 1);
    log.appends[1]!.failed(new Error("disk full"));
    assert.is(await reasonOf(added[1]!), "disk full");
    void appender.add(request(1, { room: B, bytes: half }));
    refusal(appender, 1);
  },
);

appender("appends nothing of a refused request", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  refusal(appender, IN_FLIGHT_BYTES_MAX + 1);
  await turn();
  assert.equal(log.appends, []);
  await appender.drain();
});

appender("fails only the requests of a failed record", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const lost = [appender.add(request()), appender.add(request())];
  const other = appender.add(request(1, { room: B }));
  await turn();
  const later = appender.add(request());
  log.appends[0]!.failed(new Error("disk full"));
  log.appends[1]!.stored(5);
  assert.equal(await Promise.all(lost.map(reasonOf)), ["disk full", "disk full"]);
  assert.equal(await other, [positionOf(5, 0)]);
  await log.reached(3);
  log.appends[2]!.stored(6);
  assert.equal(await later, [positionOf(6, 0)]);
});

appender("drains: appends everything at once, and resolves when all appends have succeeded or failed", async () => {
  const log = new FakeLog();
  const appender = new Appender(log.append);
  const added = [appender.add(request())];
  await turn();
  added.push(appender.add(request()), appender.add(request(1, { room: B })));
  let drained = false;
  const drain = appender.drain().then(() => {
    drained = true;
  });
  assert.equal(sizes(log), [1, 1, 1]);
  log.appends[0]!.stored(1);
  log.appends[1]!.stored(2);
  await turn();
  assert.not(drained);
  log.appends[2]!.failed(new Error("disk full"));
  await drain;
  assert.is(await reasonOf(added[2]!), "disk full");
  assert.equal(await added[1], [positionOf(2, 0)]);
  await turn();
  assert.equal(sizes(log), [1, 1, 1]);
});

appender("drains at once if nothing is pending", async () => {
  await new Appender(new FakeLog().append).drain();
});

appender.run();
