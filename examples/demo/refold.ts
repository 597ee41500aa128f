/**
 * Folds the logs again with the worker's fold: the result must be what the worker published. It also counts outcomes,
 * which are not on the bus: deltas only have what changed.
 */
import { hasEvent, type PlacedRecord, RECEIPT, type ReceiptEntry } from "../../actors/entry.ts";
import { foldRecord } from "../../actors/room/fold.ts";
import type { FoldedEntry, Judgement } from "../../actors/room/outcome.ts";
import { Room } from "../../actors/room/room.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import { logEnd } from "../../src/bus/log/log.ts";
import { LogReader } from "../../src/bus/log/log-reader.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { inThread, localpart, short } from "./words.ts";

/** How many entries had an outcome, and a description of the first. */
interface Tally {
  count: number;
  example: string;
}

export interface Refold {
  readonly rooms: ReadonlyMap<RoomId, Room>;
  /** The final outcome of every entry. A receipt that was held counts under its outcome after that. */
  readonly outcomes: ReadonlyMap<string, Tally>;
  /** The number of receipts that arrived before their event. */
  readonly waited: number;
}

export async function foldLogs(nc: Bus, partitions: number): Promise<Refold> {
  const rooms = new Map<RoomId, Room>();
  const outcomes = new Map<string, Tally>();
  let waited = 0;
  const count = (outcome: string, example: () => string) => {
    const tally = outcomes.get(outcome);
    if (tally === undefined) outcomes.set(outcome, { count: 1, example: example() });
    else tally.count++;
  };

  for (let partition = 0; partition < partitions; partition++) {
    let base = 0;
    for (const { room: id, record, start } of await readLog(nc, partition)) {
      if (start !== undefined) base = start.base;
      if (id === undefined) continue;
      const room = rooms.get(id) ?? new Room(id, base);
      rooms.set(id, room);
      foldRecord(room, record, (_, folded) => {
        if (folded.outcome.outcome === "held") waited++;
        for (const [name, example] of linesOf(room, folded)) count(name, example);
      });
    }
  }
  for (const room of rooms.values()) for (const { receipt } of room.held) count("held", () => heldExample(receipt));
  return { rooms, outcomes, waited };
}

/** All records of a partition's log. */
async function readLog(nc: Bus, partition: number): Promise<PlacedRecord[]> {
  const { sequence: last } = await logEnd(nc, partition);
  if (last === 0) return [];
  const records: PlacedRecord[] = [];
  let reader: LogReader | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const onFetch = (fetch: readonly PlacedRecord[]) => {
        for (const record of fetch) records.push(record);
        if (records.at(-1)!.record.sequence >= last) resolve();
      };
      reader = new LogReader(nc, { partition, from: 1, ahead: 1_024, onFetch, onError: reject });
    });
  } finally {
    reader?.close();
  }
  return records;
}

type Line = readonly [outcome: string, example: () => string];

/** The outcomes that an entry decided: its own, and those of the receipts that were held for it. */
function linesOf(room: Room, { position, entry, outcome }: FoldedEntry): Line[] {
  if (entry[0] === RECEIPT) {
    if (outcome.outcome === "held") {
      const { overflow } = outcome;
      return overflow === undefined ? [] : [judged(room, overflow.held.receipt, overflow.judgement)];
    }
    return [judged(room, entry, outcome as Judgement)];
  }
  if (!hasEvent(entry)) return [];
  const [, event] = entry;
  if (outcome.outcome !== "ordered") return [[outcome.outcome, () => short(event.event_id)]];
  const judgedLines = outcome.judged.map(({ held, judgement }): Line => {
    if (judgement.outcome !== "released") return judged(room, held.receipt, judgement);
    return ["released", () => `${byWhom(held.receipt)}: held at ${held.position}, event at ${position}`];
  });
  return [["ordered", () => `${short(event.event_id)} ${event.type}: order ${outcome.order}`], ...judgedLines];
}

function judged(room: Room, receipt: ReceiptEntry, judgement: Judgement): Line {
  const order = room.events.get(receipt[3])?.order;
  switch (judgement.outcome) {
    case "stale":
      return ["stale", () => `${byWhom(receipt)}: at ${order}, marker at ${judgement.marker.order}`];
    case "rejected":
      return [judgement.reason, () => `${byWhom(receipt)}${inThread(receipt[4])}: ${short(receipt[3])} is elsewhere`];
    default:
      return [judgement.outcome, () => `${byWhom(receipt)}: to ${short(receipt[3])}, order ${order}`];
  }
}

function heldExample(receipt: ReceiptEntry): string {
  return `${byWhom(receipt)}: ${short(receipt[3])} is not in the log`;
}

function byWhom([, user, type]: ReceiptEntry): string {
  return `${localpart(user)} ${type}`;
}
