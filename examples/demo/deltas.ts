/**
 * Listens to everything that Tidemark publishes, as a sync front-end would, and checks two promises of docs/design.md#what-is-published on the
 * way: no message is missing (`previous` names the one before), and nobody but their user is told of private receipts.
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

/** A published message, and where. */
export type Delta = Message<DeltaKind> & { readonly subject: string };

export class Deltas {
  readonly counts: Record<DeltaKind, number> = { events: 0, receipts: 0, private: 0, rejected: 0 };
  /** Private receipts told, and what broke a promise. */
  privateReceipts = 0;
  readonly faults: string[] = [];
  readonly #told = new Map<string, Position>();

  constructor(nc: Bus, onDelta: (delta: Delta) => void) {
    for (const { every } of [clientEvents, clientReceipts, userReceipts, rejectedSubject]) {
      nc.subscribe(every, {
        callback: (error, { subject, data }) => {
          if (error !== null) return;
          const message = decodePublished(subject, data);
          if (message === undefined || message.kind === "federation") return;
          const delta = { ...message, subject };
          this.#take(delta);
          onDelta(delta);
        },
      });
    }
  }

  /** Resolves once everything that changed in a room has been heard of, or names what has not been, after a while. */
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
    const missing = () => [...wanted.keys()].filter((key) => (this.#told.get(key) ?? 0) < wanted.get(key)!);
    try {
      await until(`every delta of ${room.id} is published`, () => missing().length === 0);
    } catch {
      for (const key of missing()) this.faults.push(`missing: ${key.split(" ")[0]} was not told of the last change`);
    }
  }

  #take(delta: Delta): void {
    this.counts[delta.kind]++;
    const key = `${delta.subject} ${delta.room_id}`;
    const told = this.#told.get(key) ?? 0;
    if ("previous" in delta && delta.previous > told) {
      this.faults.push(`gap: ${delta.subject} goes on at ${delta.previous}, and was told through ${told}`);
    }
    this.#told.set(key, Math.max(told, delta.position));
    this.#checkPrivacy(delta);
  }

  #checkPrivacy(delta: Delta): void {
    if (delta.kind === "private") {
      const user = decodeToken(delta.subject.split(".")[3] ?? "");
      const told = toldReceipts(delta);
      this.privateReceipts += told.length + (delta.fully_read === undefined ? 0 : 1);
      if (delta.user_id === user && told.every((receipt) => receipt.user === user)) return;
    } else {
      const types = toldReceipts(delta).map(({ type }) => type);
      if (delta.kind === "rejected" && delta.entry !== null) types.push(delta.entry.receipt_type);
      if (!("fully_read" in delta) && !types.some(isPrivate)) return;
    }
    this.faults.push(`leak: ${delta.subject} tells what is another user's alone`);
  }
}

/** The receipts in a delta, one by one. */
export function toldReceipts(delta: Delta): ReceiptItem[] {
  return "event" in delta && delta.event !== undefined ? [...receiptItems(delta.event.content)] : [];
}
