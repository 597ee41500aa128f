/**
 * Who sees what in a room, written down as naively as can be: all changes in one array, and every question a scan of it. It shares
 * nothing with `actors/room/visibility.ts` but the entries' types.
 */
import { type Entry, hasEvent, type Position } from "../../actors/entry.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";

interface Change {
  readonly order: number;
  readonly position: Position;
  readonly key: string;
  readonly event: MatrixEvent;
  readonly isEntry: boolean;
}

export interface ModelledEvent {
  readonly order: number;
  readonly position: Position;
  readonly event: MatrixEvent;
  readonly isLive: boolean;
}

const keyOf = ({ type, state_key }: MatrixEvent) => `${type}|${state_key}`;

export class VisibilityModel {
  readonly events: ModelledEvent[] = [];
  readonly #base: number;
  readonly #changes: Change[] = [];

  constructor(base: number) {
    this.#base = base;
  }

  /** Takes an entry, and the order that the fold gave to its event. */
  add(position: Position, entry: Entry, order: number | undefined): void {
    if (!hasEvent(entry)) return;
    const [kind, event] = entry;
    if (kind !== 3) {
      if (order === undefined) throw new Error("an event without an order");
      if (this.events.some((known) => known.event.event_id === event.event_id)) return;
      this.events.push({ order, position, event, isLive: kind === 0 });
    }
    if (event.state_key === undefined) return;
    const asOf = kind === 3 ? entry[2] : undefined;
    const at = kind === 3 ? this.#included(asOf) + 0.5 : order!;
    this.#changes.push({ order: at, position, key: keyOf(event), event, isEntry: kind === 3 });
  }

  sees(user: string, { event, order }: ModelledEvent): boolean {
    const after = [this.#visibility(order, true), this.#membership(user, order, true)] as const;
    if (this.#allows(user, order, after)) return true;
    if (keyOf(event) === "m.room.history_visibility|") {
      return this.#allows(user, order, [this.#visibility(order, false), after[1]]);
    }
    return this.#isOwn(user, event) && this.#allows(user, order, [after[0], this.#membership(user, order, false)]);
  }

  /** Of the user's stays, or the user's own member event. */
  stayed(user: string, { event, order }: ModelledEvent): boolean {
    return this.#membership(user, order, true) === "join" || this.#isOwn(user, event);
  }

  /** The order at which the last stay ended. */
  lastLeave(user: string): number | undefined {
    const own = this.#valued(`m.room.member|${user}`);
    const last = own.findLastIndex(({ event }) => event.content.membership === "join");
    return last < 0 ? undefined : own[last + 1]?.order;
  }

  /** A user's membership by what was known at a position. */
  knownMembership(user: string, through: Position): unknown {
    const known = this.#changes.filter(({ position, key, event }) => {
      return position <= through && key === `m.room.member|${user}` && typeof event.content.membership === "string";
    });
    return known.sort((a, b) => a.order - b.order || a.position - b.position).at(-1)?.event.content.membership;
  }

  /** The positions of the state just after an order. */
  stateAt(order: number): Map<string, Position> {
    const state = new Map<string, Position>();
    for (const change of this.#ordered()) if (change.order <= order) state.set(change.key, change.position);
    return state;
  }

  #isOwn(user: string, event: MatrixEvent): boolean {
    return keyOf(event) === `m.room.member|${user}` && typeof event.content.membership === "string";
  }

  #allows(user: string, order: number, [visibility, membership]: readonly [string, string]): boolean {
    const joinsLater = this.#valued(`m.room.member|${user}`).some(
      (change) => change.order > order && change.event.content.membership === "join",
    );
    return (
      visibility === "world_readable" ||
      membership === "join" ||
      (visibility === "shared" && joinsLater) ||
      (visibility === "invited" && membership === "invite")
    );
  }

  #visibility(order: number, inclusive: boolean): string {
    const isLive = this.events.some((event) => event.isLive && event.order <= order);
    const found = this.#value("m.room.history_visibility|", { order, inclusive }, (content) => {
      const { history_visibility: value } = content as { history_visibility?: string };
      return ["world_readable", "shared", "invited", "joined"].includes(value!) ? value! : "shared";
    });
    return found ?? (isLive ? "shared" : "joined");
  }

  #membership(user: string, order: number, inclusive: boolean): string {
    const read = (content: object) => {
      const { membership } = content as { membership?: unknown };
      return typeof membership === "string" ? membership : undefined;
    };
    return this.#value(`m.room.member|${user}`, { order, inclusive }, read) ?? "none";
  }

  #value(
    key: string,
    { order, inclusive }: { readonly order: number; readonly inclusive: boolean },
    read: (content: object) => string | undefined,
  ): string | undefined {
    const all = this.#valued(key);
    const isBefore = (at: number) => at < order || (inclusive && at === order);
    const nearest = all.filter((change) => isBefore(change.order)).at(-1);
    if (nearest !== undefined) return read(nearest.event.content);
    const newer = all.find((change) => !change.isEntry);
    const prev = newer?.event.unsigned?.prev_content;
    const before = typeof prev === "object" && prev !== null ? read(prev) : undefined;
    if (before !== undefined) return before;
    const oldest = all[0];
    if (oldest?.isEntry !== true) return undefined;
    const isKnown = this.events.some(({ event }) => event.event_id === oldest.event.event_id);
    return isKnown ? undefined : read(oldest.event.content);
  }

  /** The changes of a key that say a value, the last one of each order. */
  #valued(key: string): Change[] {
    return this.#ordered(({ key: other, event }) => {
      return other === key && (event.type !== "m.room.member" || typeof event.content.membership === "string");
    });
  }

  #ordered(counts: (change: Change) => boolean = () => true): Change[] {
    const last = new Map<string, Change>();
    for (const change of this.#changes.filter(counts)) last.set(`${change.key} ${change.order}`, change);
    return [...last.values()].sort((a, b) => a.order - b.order);
  }

  /** The newest event that a `state` entry includes. */
  #included(asOf: number | undefined): number {
    const newest = Math.max(0, ...this.events.map(({ order }) => order)) || this.#base;
    if (asOf === undefined) return newest;
    const live = this.events.filter(({ isLive }) => isLive).map(({ order }) => order);
    return asOf > 0 ? Math.min(asOf, newest) : Math.min(newest + 1, ...live) - 1;
  }
}
