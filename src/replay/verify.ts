/**
 * Verifies a running system: folds rooms from their log, and compares orders and markers with the answers of the live
 * owner and with the delta stream. It stops at the first difference.
 *
 *     log ──fold──▶ rooms ──┬── orders and snapshots of the owner, at the same position
 *                           └── the stored deltas, and the chain of `previous` between them
 *
 * The system may be in use. If the owner is ahead, the fold continues to exactly its position. If it is behind,
 * verification waits up to `VERIFY_WAIT_MS`.
 */
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { sequenceOf } from "../../actors/entry.ts";
import { receiptEvent } from "../../actors/partition/changes.ts";
import { type Marker, publishedOrder } from "../../actors/room/marker.ts";
import type { Room } from "../../actors/room/room.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import type { Answer, Asked } from "../bus/contract/questions.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { scanDeltas } from "../bus/deltas/delta-scan.ts";
import { logEnd } from "../bus/log/log.ts";
import { scanLog } from "../bus/log/log-scan.ts";
import { partitionCount } from "../bus/partition-count.ts";
import { type SnapshotQuestion, snapshotPages } from "../frontend/snapshot-pages.ts";
import { mergeReceipts } from "../gateway/sync/receipt-merge.ts";
import { QUERY_EVENT_IDS_MAX, VERIFY_WAIT_MS } from "../limits.ts";
import type { EventId, RoomId, UserId } from "../matrix/ids.ts";
import type { ReceiptContent } from "../matrix/receipt.ts";
import { FULLY_READ, isPrivate, type ReceiptType, shownAs } from "../matrix/receipt-types.ts";
import { keptDeltas } from "./kept-deltas.ts";
import { LastChanges } from "./last-changes.ts";
import { Difference, PublishedDeltas } from "./published-deltas.ts";
import { type OnUnreadable, onePartition } from "./record-source.ts";
import { Refold } from "./refold.ts";

/** Polling interval while something is behind. */
const POLL_MS = 100;

export interface VerifyOptions {
  /** Default: all rooms. */
  readonly room?: RoomId;
  /** Default: all partitions. Ignored if there is a room. */
  readonly partition?: number | undefined;
  /** Called for each partition that can't be verified, and is left out. Default: that fails. */
  readonly onUnreadable?: OnUnreadable | undefined;
  readonly onProgress?: (done: number, total: number) => void;
  /** How long to wait for an owner or deltas that are behind, ms. Default: `VERIFY_WAIT_MS`. */
  readonly waitMs?: number;
}

export interface Verified {
  readonly rooms: number;
  readonly entries: number;
  readonly orders: number;
  readonly markers: number;
  readonly deltas: number;
}

/** Throws the first `Difference` that it finds. */
export async function verify(nc: Bus, options: VerifyOptions): Promise<Verified> {
  const { room, onUnreadable, waitMs = VERIFY_WAIT_MS } = options;
  const partitions = await partitionCount(nc);
  const wanted = room === undefined ? options.partition : partitionOf(room, partitions);
  const chosen = wanted === undefined ? Array.from({ length: partitions }, (_, i) => i) : [wanted];
  const ends = await Promise.all(
    chosen.map((partition) => onePartition(partition, onUnreadable, () => logEnd(nc, partition, room))),
  );
  const total = ends.reduce((sum, end) => sum + (end?.records ?? 0), 0);
  if (room !== undefined && total === 0) throw new Error(`the log has no room ${room}`);

  const sum = { rooms: 0, entries: 0, orders: 0, markers: 0, deltas: 0 };
  let done = 0;
  for (const [i, partition] of chosen.entries()) {
    const { sequence = 0 } = ends[i] ?? {};
    if (sequence === 0) continue;
    const verification = new Verification(nc, partition, waitMs);
    const isVerified = await onePartition(partition, onUnreadable, async (reached) => {
      await verification.foldThrough(sequence, room, (through) => {
        reached(through);
        options.onProgress?.(++done, total);
      });
      await verification.compareAnswers();
      await verification.compareDeltas();
      return true;
    });
    if (!isVerified) continue;
    sum.rooms += verification.refold.rooms.size;
    sum.entries += verification.refold.entries;
    sum.orders += verification.orders;
    sum.markers += verification.markers;
    sum.deltas += verification.deltas;
  }
  return sum;
}

class Verification {
  readonly #nc: Bus;
  readonly #partition: number;
  readonly #waitMs: number;
  readonly refold = new Refold();
  readonly #changes = new LastChanges();
  orders = 0;
  markers = 0;
  deltas = 0;

  constructor(nc: Bus, partition: number, waitMs: number) {
    this.#nc = nc;
    this.#partition = partition;
    this.#waitMs = waitMs;
  }

  async foldThrough(until: number, room: RoomId | undefined, folded: (sequence: number) => void): Promise<void> {
    await scanLog(this.#nc, { partition: this.#partition, until, ...(room !== undefined && { room }) }, (scanned) => {
      this.refold.fold(scanned, this.#changes.add);
      folded(scanned.record.sequence);
    });
  }

  async compareAnswers(): Promise<void> {
    for (const room of this.refold.rooms.values()) {
      const ids = Array.from(room.events, ([id]) => id);
      for (let from = 0; from < ids.length; from += QUERY_EVENT_IDS_MAX) {
        await this.#compareOrders(room, ids.slice(from, from + QUERY_EVENT_IDS_MAX));
      }
      const answer = await this.#markersAt(room, {});
      this.#compareMarkers(
        room,
        "",
        markersOf(room, (type) => !isPrivate(type)),
        answer.receipts,
      );
      const users = new Set<UserId>();
      for (const { user, type } of room.markers) if (isPrivate(type)) users.add(user);
      for (const user of users) await this.#comparePrivate(room, user);
    }
  }

  async #compareOrders(room: Room, ids: readonly EventId[]): Promise<void> {
    const { orders } = await this.#answerAt(room, { op: "orders", event_ids: [...ids] });
    for (const id of ids) {
      const expected = room.events.get(id)!.order;
      const answered = orders[id];
      this.orders++;
      if (answered !== expected) {
        throw new Difference(room.id, `${id} has order ${expected} in the log, the owner answers ${String(answered)}`);
      }
    }
  }

  async #comparePrivate(room: Room, user: UserId): Promise<void> {
    const answer = await this.#markersAt(room, { user_id: user });
    const own = markersOf(room, isPrivateReceipt).filter((marker) => marker.user === user);
    this.#compareMarkers(room, "private ", own, answer.private);
    const fullyRead = room.markers.get(user, FULLY_READ, null);
    const expected = fullyRead && { event_id: fullyRead.event, order: publishedOrder(fullyRead) };
    this.markers += fullyRead === undefined ? 0 : 1;
    if (!isDeepStrictEqual(answer.fully_read, expected)) {
      throw new Difference(
        room.id,
        `the m.fully_read of ${user} is ${JSON.stringify(expected)} in the log, the owner answers ${JSON.stringify(answer.fully_read)}`,
      );
    }
  }

  #compareMarkers(room: Room, kind: string, markers: readonly Marker[], answered: ReceiptContent = {}): void {
    const expected = placesIn(receiptEvent(markers).content);
    const found = placesIn(answered);
    for (const key of new Set([...expected.keys(), ...found.keys()])) {
      this.markers++;
      if (expected.get(key) === found.get(key)) continue;
      throw new Difference(
        room.id,
        `the ${kind}marker ${key} is ${expected.get(key) ?? "nowhere"} in the log, the owner answers ${found.get(key) ?? "nowhere"}`,
      );
    }
  }

  /** The room's markers as its owner has them, all pages at the position through which the room is folded here. */
  async #markersAt(
    room: Room,
    question: SnapshotQuestion,
  ): Promise<Pick<Answer<"snapshot">, "receipts" | "private" | "fully_read">> {
    const askAt = (page: SnapshotQuestion) => this.#answerAt(room, { op: "snapshot", ...page });
    for (;;) {
      const pages: Answer<"snapshot">[] = [];
      for await (const page of snapshotPages(askAt, { ...question, timeline_limit: 0, members: false }))
        pages.push(page);
      if (pages.at(-1)!.position !== pages[0]!.position) continue; // It was in use meanwhile.
      return {
        ...pages[0]!,
        receipts: mergeReceipts(pages.map(({ receipts }) => receipts)),
        private: mergeReceipts(pages.map(({ private: own }) => own ?? {})),
      };
    }
  }

  /** Returns an answer at exactly the position through which the room is folded here. */
  async #answerAt<O extends "orders" | "snapshot">(room: Room, question: Asked<O>): Promise<Answer<O>> {
    const deadline = performance.now() + this.#waitMs;
    for (;;) {
      const answer = await ask(this.#nc, room.id, question);
      const { position } = answer;
      if (position === room.position) return answer;
      if (position > room.position) {
        await this.#foldOn(room, position);
        if (position === room.position) return answer;
        throw new Difference(room.id, `the owner is at position ${position}, where the log has no entry of the room`);
      }
      if (performance.now() > deadline) {
        throw new Difference(
          room.id,
          `the owner has folded through position ${position}, the log has ${room.position}`,
        );
      }
      await delay(POLL_MS);
    }
  }

  async #foldOn(room: Room, position: number): Promise<void> {
    const { sequence } = await logEnd(this.#nc, this.#partition, room.id);
    await scanLog(
      this.#nc,
      {
        partition: this.#partition,
        room: room.id,
        from: sequenceOf(room.position) + 1,
        until: Math.min(sequenceOf(position), sequence),
      },
      (scanned) => this.refold.fold(scanned, this.#changes.add),
    );
  }

  async compareDeltas(): Promise<void> {
    const published = new PublishedDeltas(this.refold.rooms, this.#changes);
    const deadline = performance.now() + this.#waitMs;
    let next = 1;
    for (;;) {
      const last = await scanDeltas(this.#nc, { partition: this.#partition, from: next }, (delta, sequence) =>
        published.read(delta, sequence),
      );
      next = last + 1;
      const missing = published.missing(await keptDeltas(this.#nc, this.#partition));
      if (missing === undefined) break;
      if (performance.now() > deadline) throw missing;
      await delay(POLL_MS);
    }
    for (const [room, position] of published.beyond()) {
      const { sequence } = await logEnd(this.#nc, this.#partition, room);
      if (sequence < sequenceOf(position)) {
        throw new Difference(
          room,
          `it is published through position ${position}, and its log ends with record ${sequence}`,
        );
      }
    }
    this.deltas = published.deltas;
  }
}

function isPrivateReceipt(type: ReceiptType): boolean {
  return isPrivate(type) && shownAs(type) === "m.receipt";
}

function markersOf(room: Room, wanted: (type: ReceiptType) => boolean): Marker[] {
  return [...room.markers].filter(({ type }) => wanted(type));
}

/** Returns the place of each marker by `user type thread`. */
function placesIn(content: ReceiptContent): Map<string, string> {
  const places = new Map<string, string>();
  for (const [event, types] of Object.entries(content)) {
    for (const [type, users] of Object.entries(types)) {
      for (const [user, { order, thread_id, ts }] of Object.entries(users)) {
        places.set(`${user} ${type} ${thread_id ?? "unthreaded"}`, `at ${event}, order ${order}, ts ${ts}`);
      }
    }
  }
  return places;
}
