/**
 * Subscribes to everything that Tidemark publishes, as a sync front-end does, and checks two promises of
 * docs/design.md#what-is-published: no message is missing (`previous` is the position of the one before), and private
 * receipts reach their own user only.
 */
import type { Position } from "../../actors/entry.ts";
import type { Room } from "../../actors/room/room.ts";
import type { Bus } from "../../src/bus/client/connection.ts";
import { decodePublished, type Message, type PublicKind } from "../../src/bus/contract/messages.ts";
import {
  clientEvents,
  clientReceipts,
  decodeToken,
  partitionOf,
  rejectedSubject,
  userReceipts,
} from "../../src/bus/contract/subjects.ts";
import { type ReceiptItem, receiptItems } from "../../src/matrix/receipt.ts";
import { isPrivate } from "../../src/matrix/receipt-types.ts";
import { until } from "./until.ts";

export type DeltaKind = Exclude<PublicKind, "federation">;

/** A published message with its subject. */
export type Delta = Message<DeltaKind> & { readonly subject: string };

export class Deltas {
  readonly counts: Record<DeltaKind, number> = { events: 0, receipts: 0, private: 0, rejected: 0 };
  /** The number of private receipts and fully-read markers. */
  privateReceipts = 0;
  /** Broken promises, one line of text each. */
  readonly faults: string[] = [];
  /** The last position by subject and room. */
  readonly #published = new Map<string, Position>();

  constructor(nc: Bus, onDelta: (delta: Delta) => void) {
    for (const { every } of [clientEvents, clientReceipts, userReceipts, rejectedSubject]) {
      nc.subscribe(every, {
        callback: (error, { subject, data }) => {
          if (error !== null) return;
          const message = decodePublished(subject, data);
          if (message === undefined || message.type === "federation") return;
          const delta = { ...message, subject };
          this.#check(delta);
          onDelta(delta);
        },
      });
    }
  }

  /** Resolves once every change of a room has arrived. Changes that are missing after 10 s become faults. */
  async complete(room: Room, partitions: number): Promise<void> {
    const partition = partitionOf(room.id, partitions);
    const wanted = new Map<string, Position>();
    if (room.changed.events > 0) wanted.set(`${clientEvents(partition, room.id)} ${room.id}`, room.changed.events);
    if (room.changed.receipts > 0)
      wanted.set(`${clientReceipts(partition, room.id)} ${room.id}`, room.changed.receipts);
    for (const { user, type, position } of room.markers) {
      if (!isPrivate(type)) continue;
      const key = `${userReceipts(partition, user)} ${room.id}`;
      wanted.set(key, Math.max(position, wanted.get(key) ?? 0));
    }
    const missing = () => [...wanted.keys()].filter((key) => (this.#published.get(key) ?? 0) < wanted.get(key)!);
    try {
      await until(`every delta of ${room.id} is published`, () => missing().length === 0);
    } catch {
      for (const key of missing()) this.faults.push(`missing: ${key.split(" ")[0]} lacks the last change`);
    }
  }

  #check(delta: Delta): void {
    this.counts[delta.type]++;
    const key = `${delta.subject} ${delta.room_id}`;
    const last = this.#published.get(key) ?? 0;
    if ("previous" in delta && delta.previous > last) {
      this.faults.push(`gap: ${delta.subject} continues after ${delta.previous}, and ${last} was the last`);
    }
    this.#published.set(key, Math.max(last, delta.position));
    this.#checkPrivacy(delta);
  }

  #checkPrivacy(delta: Delta): void {
    if (delta.type === "private") {
      const user = decodeToken(delta.subject.split(".")[3] ?? "");
      const receipts = receiptsIn(delta);
      this.privateReceipts += receipts.length + (delta.fully_read === undefined ? 0 : 1);
      if (delta.user_id === user && receipts.every((receipt) => receipt.user === user)) return;
    } else {
      const types = receiptsIn(delta).map(({ type }) => type);
      if (delta.type === "rejected" && delta.entry !== null) types.push(delta.entry.receipt_type);
      if (!("fully_read" in delta) && !types.some(isPrivate)) return;
    }
    this.faults.push(`leak: ${delta.subject} has a private receipt of another user`);
  }
}

/** The receipts in a delta, one by one. */
export function receiptsIn(delta: Delta): ReceiptItem[] {
  return "event" in delta && delta.event !== undefined ? [...receiptItems(delta.event.content)] : [];
}
