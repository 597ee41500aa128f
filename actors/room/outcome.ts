/** What became of an entry of the log, and why a receipt is rejected. */
import type { EventId, UserId } from "../../src/matrix/ids.ts";
import type { Entry, EventInfo, Order, Position } from "../entry.ts";
import type { HeldReceipt } from "./held.ts";
import type { Marker } from "./marker.ts";

export type RejectReason = "wrong_thread" | "acl_denied" | "not_joined" | "held_overflow" | "erased";

export interface Rejected {
  readonly outcome: "rejected";
  readonly reason: RejectReason;
  /** For a person. Names no user. */
  readonly detail: string;
}

export interface Moved {
  readonly outcome: "advanced" | "released";
  readonly marker: Marker;
  /** Where the marker stood before; undefined for a new one. */
  readonly from: Order | undefined;
  readonly fromEvent: EventId | undefined;
}

/** What an erasure took out of the room (F14). */
interface Erased {
  readonly outcome: "erased";
  readonly user: UserId;
  /** How many markers and held receipts the user had. */
  readonly receipts: number;
  /** The events whose content it took. */
  readonly events: readonly EventId[];
  /** See `ordered`. */
  readonly judged: readonly JudgedReceipt[];
  readonly rethreaded: readonly EventInfo[];
}

/** What became of a receipt whose event is known. */
export type Judgement = Moved | { readonly outcome: "stale"; readonly marker: Marker } | Rejected;

/** What became of a held receipt. */
export interface JudgedReceipt {
  readonly held: HeldReceipt;
  readonly judgement: Judgement;
}

export type Outcome =
  | {
      readonly outcome: "ordered";
      readonly order: Order;
      /** Held receipts that could be judged then (F5, F6), in that order. */
      readonly judged: readonly JudgedReceipt[];
      /** Other events whose thread was settled, or changed (F3, F11). */
      readonly rethreaded: readonly EventInfo[];
    }
  | { readonly outcome: "duplicate"; readonly order: Order }
  | { readonly outcome: "noted" }
  | { readonly outcome: "held"; readonly overflow: JudgedReceipt | undefined }
  | Erased
  | Judgement;

/** An entry that was folded: its place, the clock of its record in Unix ms, and what became of it. */
export interface FoldedEntry {
  readonly position: Position;
  readonly at: number;
  readonly entry: Entry;
  readonly outcome: Outcome;
}

function rejected(reason: RejectReason, detail: string): Rejected {
  return { outcome: "rejected", reason, detail };
}

export const WRONG_THREAD = rejected("wrong_thread", "the event is in another thread than the receipt names");
export const ACL_DENIED = rejected(
  "acl_denied",
  "the room's m.room.server_acl denies the server that sent the receipt",
);
export const NOT_JOINED = rejected(
  "not_joined",
  "the receipt came over federation and its user is not joined to the room",
);
export const HELD_OVERFLOW = rejected("held_overflow", "newer receipts for events that are not known took its place");
export const ERASED = rejected("erased", "it was sent before its user was erased from the room");
