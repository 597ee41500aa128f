/** Segments: what is written is what is read, and whatever was changed is found. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, positionOf } from "../../../actors/entry.ts";
import { type ObjectStore, objectName } from "../../../src/archive/object-store.ts";
import type { SegmentMessage } from "../../../src/archive/segment/block-reader.ts";
import type { ArchivedMessage } from "../../../src/archive/segment/block-writer.ts";
import { Segment, type SegmentPlace } from "../../../src/archive/segment/segment.ts";
import { SegmentWriter } from "../../../src/archive/segment/segment-writer.ts";
import { encodeRecord } from "../../../src/bus/contract/record.ts";
import { logStartSubject, logSubject } from "../../../src/bus/contract/subjects.ts";
import { TidemarkError } from "../../../src/errors.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { history, USERS } from "../../support/arbitraries.ts";
import { ArchivedLog, archivedSession, PARTITION } from "../../support/archived-log.ts";
import { live, receipt } from "../../support/entries.ts";
import { checkAsync } from "../../support/property.ts";
import { entriesOf, recordsOf } from "../../support/records.ts";

const NAME = objectName("p3/one");
const ROOMS = ["!one:a.example", "!two:b.example"] as RoomId[];

interface Written {
  readonly bytes: Uint8Array;
  readonly place: SegmentPlace;
}

async function write(messages: readonly ArchivedMessage[], blockBytes = 2_000): Promise<Written> {
  const writer = new SegmentWriter({ partition: PARTITION, lineage: "lineage", fold: 6, blockBytes });
  for (const message of messages) writer.add(message);
  const { bytes, index } = await writer.finish();
  return { bytes, place: { name: NAME, bytes: bytes.length, index } };
}

/** A store that has one object. */
function having(bytes: Uint8Array | undefined): Pick<ObjectStore, "get"> {
  return {
    get: async (_, range) => {
      if (range === undefined || bytes === undefined) return bytes;
      const { from, length } = range;
      if (from < 0 || from + length > bytes.length) throw new TidemarkError("ARCHIVE_DAMAGED", "too short");
      return bytes.subarray(from, from + length);
    },
  };
}

async function read({ bytes, place }: Written, from?: number): Promise<SegmentMessage[]> {
  const messages: SegmentMessage[] = [];
  for await (const message of (await Segment.open(having(bytes), place)).messages(from)) messages.push(message);
  return messages;
}

function assertSame(actual: readonly SegmentMessage[], expected: readonly ArchivedMessage[]): void {
  assert.equal(
    actual.map(({ placed, notes }) => ({ placed, notes })),
    expected.map(({ placed, notes }) => ({ placed, notes })),
  );
  for (const [i, { placed }] of actual.entries()) {
    if (placed.room === undefined || placed.start !== undefined || placed.record.entries.includes(null)) continue;
    const again = encodeRecord(placed.record.at, entriesOf(placed.record));
    assert.ok(Buffer.from(expected[i]!.data).equals(again));
  }
}

/** Each position of a log, and some behind its records. */
function* placesIn(
  messages: readonly ArchivedMessage[],
): Generator<readonly [position: number, entry: Entry | undefined]> {
  for (const { placed } of messages) {
    const { sequence, entries } = placed.record;
    for (let i = 0; i <= entries.length; i++) yield [positionOf(sequence, i), entries[i] ?? undefined];
  }
}

const segments = suite("a segment");

segments("of any log gives back each entry, each note, and each event alone, whatever its blocks", async () => {
  await checkAsync(
    fc.asyncProperty(history, history, fc.integer({ min: 1, max: 3_000 }), async (one, two, blockBytes) => {
      const log = new ArchivedLog();
      log.start(1_700_000_000_000);
      const records = [recordsOf(one), recordsOf(two)];
      for (let i = 0; i < Math.max(records[0]!.length, records[1]!.length); i++) {
        for (const [r, room] of ROOMS.entries()) {
          const record = records[r]![i];
          if (record !== undefined) log.record(room, record.at, entriesOf(record));
        }
      }
      const written = await write(log.messages, blockBytes);
      assertSame(await read(written), log.messages);
      const segment = await Segment.open(having(written.bytes), written.place);
      for (const [position, entry] of placesIn(log.messages)) {
        const event = entry !== undefined && hasEvent(entry) ? entry : undefined;
        assert.equal(await segment.eventAt(position), event);
      }
    }),
    { numRuns: 15 },
  );
});

segments("gives back messages that are no records, or not as Tidemark writes them, byte for byte", async () => {
  const log = new ArchivedLog();
  const [room] = ROOMS as [RoomId];
  const subject = logSubject(PARTITION, room);
  const valid = live("$a");
  // A record as another encoder writes it: its time as a float.
  const other = Buffer.concat([Buffer.from([0x93, 1, 0xcb]), Buffer.alloc(8), encodeRecord(1, [valid]).subarray(3)]);
  other.writeDoubleBE(1_700_000_000_000, 3);
  log.start(5);
  log.message(subject, other, 6);
  log.message(subject, Buffer.from("no record"), 7);
  log.message("tidemark.log.3.nowhere", Buffer.alloc(0), 8);
  log.message(logStartSubject(PARTITION), Buffer.from([0x90]), 9);
  log.message(subject, encodeRecord(-5, [valid]), 10);
  log.message(subject, encodeRecord(9, [valid, ["no entry"] as unknown as Entry, live("$b")]), 11);
  log.record(room, 2 ** 53 - 1, [receipt(USERS[0]!, "$b", { ts: 0 })]);
  log.record(room, 0, [receipt(USERS[0]!, "$b", { ts: 2 ** 53 - 1 })]);
  log.record(room, 1, [live("$c", {}, 2 ** 53 - 2 ** 48), live("$d", {}, -(2 ** 53 - 2 ** 48))]);
  for (const blockBytes of [1, 100_000]) {
    const written = await write(log.messages, blockBytes);
    assertSame(await read(written), log.messages);
    const segment = await Segment.open(having(written.bytes), written.place);
    assert.equal(await segment.eventAt(positionOf(2, 0)), valid);
    assert.equal(await segment.eventAt(positionOf(7, 2)), live("$b"));
    assert.is(await segment.eventAt(positionOf(7, 1)), undefined);
    assert.is(await segment.eventAt(positionOf(3, 0)), undefined);
    assert.is(await segment.eventAt(positionOf(1, 0)), undefined);
    assert.is(await segment.eventAt(positionOf(99, 0)), undefined);
  }
});

segments("is read from any sequence on", async () => {
  const messages = archivedSession().slice(0, 300);
  const written = await write(messages);
  for (const from of [1, 2, 150, 299, 300, 301]) {
    assertSame(
      await read(written, from),
      messages.filter(({ placed }) => placed.record.sequence >= from),
    );
  }
});

segments("that was changed in any byte, or cut anywhere, is damaged", async () => {
  const written = await write(archivedSession().slice(0, 12), 1_500);
  const { bytes, place } = written;
  const codeOf = (reading: Promise<unknown>) =>
    reading.then(
      () => "read",
      (error: unknown) => (error instanceof TidemarkError ? error.code : String(error)),
    );
  assert.is(await codeOf(read(written)), "read");
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1 << (at % 8);
    assert.is(await codeOf(read({ bytes: changed, place })), "ARCHIVE_DAMAGED", `byte ${at}`);
    assert.is(await codeOf(read({ bytes: bytes.subarray(0, at), place })), "ARCHIVE_DAMAGED", `cut at ${at}`);
  }
  const longer = Buffer.concat([bytes, Buffer.from([0])]);
  assert.is(await codeOf(read({ bytes: longer, place })), "ARCHIVE_DAMAGED");
  const gone = Segment.open(having(undefined), place);
  assert.is(await codeOf(gone), "ARCHIVE_DAMAGED");
});

segments("takes only what follows", async () => {
  const messages = archivedSession().slice(0, 3);
  const writer = new SegmentWriter({ partition: PARTITION, lineage: "lineage", fold: 6 });
  writer.add(messages[0]!);
  assert.throws(() => writer.add(messages[2]!), /goes on at 3 after 1/);
  assert.throws(() => writer.add({ ...messages[1]!, notes: [] }), /a note for each entry/);
});

segments("needs at most 12 bytes for a receipt and 160 for an event, of a recorded session", async () => {
  const sizeOf = async (messages: readonly ArchivedMessage[]) => (await write(messages, 524_288)).bytes.length;
  const all = archivedSession();
  const events = archivedSession({ receipts: false });
  const [bytes, bytesOfEvents] = [await sizeOf(all), await sizeOf(events)];
  const perEvent = bytesOfEvents / events.length;
  const perReceipt = (bytes - bytesOfEvents) / (all.length - events.length);
  assert.ok(perEvent <= 160, `${perEvent} bytes an event`);
  assert.ok(perReceipt <= 12, `${perReceipt} bytes a receipt`);
});

segments.run();
