/**
 * What the fold made of an entry, as a segment has it beside the entry: its outcome, and of an event the order and the thread, as the
 * entry left them. A later fold takes orders from there; the rest counts for the fold's own version.
 */
import { hasEvent, type Order } from "../../../actors/entry.ts";
import type { FoldedEntry, Outcome, RejectReason } from "../../../actors/room/outcome.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { ThreadId } from "../../matrix/ids.ts";

export type NotedOutcome = Exclude<Outcome["outcome"], "rejected"> | RejectReason;

export type EntryNote =
  | { readonly outcome: Exclude<NotedOutcome, "ordered" | "duplicate"> }
  | { readonly outcome: "duplicate"; readonly order: Order }
  | {
      readonly outcome: "ordered";
      readonly order: Order;
      readonly thread: ThreadId;
      /** The thread is not known for good yet. */
      readonly unsettled?: true;
    };

/** The note of what is no entry. */
export const NO_ENTRY: EntryNote = { outcome: "noted" };

/** To be asked right after the entry was folded. */
export function noteOf(room: Room, { entry, outcome }: FoldedEntry): EntryNote {
  switch (outcome.outcome) {
    case "ordered": {
      const info = hasEvent(entry) ? room.events.get(entry[1].event_id) : undefined;
      if (info === undefined) throw new Error("an ordered event is not in its room");
      const note = { outcome: "ordered", order: outcome.order, thread: info.thread } as const;
      return info.settled ? note : { ...note, unsettled: true };
    }
    case "duplicate":
      return { outcome: "duplicate", order: outcome.order };
    case "rejected":
      return { outcome: outcome.reason };
    default:
      return { outcome: outcome.outcome };
  }
}
