/** Folds a room into a federation outbox, as a partition does. */
import { type Entry, LIVE, positionOf, STATE } from "../../actors/entry.ts";
import type { Dispatch } from "../../actors/federation/lane.ts";
import { FederationOutbox } from "../../actors/federation/outbox.ts";
import { fold } from "../../actors/room/fold.ts";
import type { Outcome } from "../../actors/room/outcome.ts";
import { Room } from "../../actors/room/room.ts";
import { type RoomId, serverName } from "../../src/matrix/ids.ts";
import type { FederatedReceipt } from "../../src/matrix/receipt-edu.ts";
import { event } from "./session-fold.ts";

export const MINUTE_MS = 60_000;
/** A local user. */
export const LOCAL = "@a:here.example";

export class FoldedOutbox {
  readonly outbox: FederationOutbox;
  readonly room: Room = new Room("!r:here.example" as RoomId, 0);
  /** ms */
  now = 1_000_000;
  #sequence = 0;

  constructor(own: readonly string[] = ["here.example"]) {
    this.outbox = new FederationOutbox(own.map((name) => serverName.parse(name)));
  }

  /** `at`: the clock of the record. */
  fold(entry: Entry, published = false, at = 0): Outcome {
    const position = positionOf(++this.#sequence, 0);
    const outcome = fold(this.room, position, entry);
    this.outbox.add(this.room, { position, at, entry, outcome }, { published, foldedAt: this.now });
    return outcome;
  }

  /** Takes the next receipts of a lane: lines of `user thread → event`, by destination. */
  take(lane: "urgent" | "waiting"): Record<string, string[]> {
    return byDestination(this.outbox.take(lane).dispatch);
  }
}

function byDestination(dispatch: Dispatch | undefined): Record<string, string[]> {
  const sent: Record<string, string[]> = {};
  for (const { destinations, receipts } of dispatch?.batches ?? []) {
    for (const destination of destinations) sent[destination] = [...(sent[destination] ?? []), ...receipts.map(lineOf)];
  }
  return sent;
}

function lineOf({ user, thread, event }: FederatedReceipt): string {
  return `${user} ${thread ?? "-"} → ${event}`;
}

/** A member event. */
export function member(user: string, membership = "join", id = `$${membership}${user}`) {
  return event(id, { type: "m.room.member", state_key: user, sender: user, content: { membership } });
}

/** A room with this many servers: the local one and `s1.example` …. It has the event `$1` of `@sender:here.example`. */
export function roomOf(servers: number, own?: readonly string[]): FoldedOutbox {
  const folded = new FoldedOutbox(own);
  folded.fold([STATE, member(LOCAL)]);
  for (let i = 1; i < servers; i++) folded.fold([STATE, member(`@u:s${i}.example`)]);
  folded.fold([LIVE, event("$1")]);
  return folded;
}

/** The same lines for all remote servers of such a room, as `take` returns them. */
export const everywhere = (servers: number, ...lines: string[]) =>
  Object.fromEntries(Array.from({ length: servers - 1 }, (_, i) => [`s${i + 1}.example`, lines]));
