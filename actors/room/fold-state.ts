/** What state events change: membership, server ACL, the current state and what it was (F10), and stays (F12). */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { type UserId, userId } from "../../src/matrix/ids.ts";
import type { Order, Position, StateEntry } from "../entry.ts";
import type { Member, Room, StateEvent } from "./room.ts";
import { HALF_AN_ORDER, HISTORY_VISIBILITY_KEY, memberKey, type StateChange, stateKey } from "./state-changes.ts";
import { understoodVisibility } from "./visibility.ts";

/** F10. It leaves alone what was set behind its place, but says what the state was before that. */
export function foldStateEntry(room: Room, position: Position, [, event, asOf]: StateEntry): void {
  if (event.state_key === undefined) return;
  const since = includedBy(room, asOf);
  const place = since + HALF_AN_ORDER;
  const key = stateKey(event.type, event.state_key);
  const isCurrent = currentPlace(room, key) <= place;
  const isMembership = membershipPlace(room, key) <= place;
  noteState(room, event, place, { position, entry: event.event_id });
  const set = { position, order: 0, since };
  if (isCurrent) foldState(room, event, set);
  else if (isMembership) foldMembership(room, event, set);
}

/** Where what says the current membership stands: a later member event may say none. */
function membershipPlace({ stateChanges, firstLive }: Room, key: string): Order {
  for (const [order, { value, entry }] of stateChanges.downFrom(key, Number.POSITIVE_INFINITY)) {
    const isHistory = entry === undefined && (firstLive === 0 || order < firstLive);
    if (value !== undefined && !isHistory) return order;
  }
  return Number.NEGATIVE_INFINITY;
}

/** The order of the newest event that a `state` entry includes. `as_of` 0: it was read before the first live event. */
function includedBy({ orders, base, firstLive }: Room, asOf: Order | undefined): Order {
  const newest = orders.greatest || base;
  if (asOf === undefined) return newest;
  return asOf > 0 ? Math.min(asOf, newest) : firstLive > 0 ? firstLive - 1 : newest;
}

/** Where the event that is current now stands among a key's changes. */
function currentPlace({ state, stateChanges }: Room, key: string): Order {
  const current = state.get(key);
  if (current !== undefined && current.order > 0) return current.order;
  for (const [order, { position }] of stateChanges.downFrom(key, Number.POSITIVE_INFINITY)) {
    if (position === current?.position) return order;
  }
  return Number.NEGATIVE_INFINITY;
}

/** What the state was from this order on, for those who may see only a part of the history (`visibility.ts`). */
export function noteState(
  room: Room,
  { type, state_key: name = "", content, unsigned }: MatrixEvent,
  order: Order,
  { position, entry }: Pick<StateChange, "position" | "entry">,
): void {
  const key = stateKey(type, name);
  const prev = unsigned?.prev_content;
  const value = shownValue(type, key, content);
  const before = typeof prev === "object" && prev !== null ? shownValue(type, key, prev) : undefined;
  room.stateChanges.add(key, order, {
    position,
    ...(value !== undefined && { value }),
    ...(before !== undefined && { before }),
    ...(entry !== undefined && { entry }),
  });
}

function shownValue(type: string, key: string, content: object): string | undefined {
  if (type === "m.room.member") {
    const { membership } = content as { readonly membership?: unknown };
    return typeof membership === "string" ? membership : undefined;
  }
  if (key !== HISTORY_VISIBILITY_KEY) return undefined;
  return understoodVisibility((content as { readonly history_visibility?: unknown }).history_visibility);
}

interface SetState extends StateEvent {
  /** The order of the event or, for a `state` entry, that of the newest event that it includes. */
  readonly since: Order;
}

/** F10. Membership, server ACL and where the current state is, as of this entry. */
export function foldState(room: Room, event: MatrixEvent, set: SetState): void {
  if (event.state_key === undefined) return;
  const { position, order } = set;
  const key = stateKey(event.type, event.state_key);
  foldMembership(room, event, set);
  const before = room.state.get(key)?.position;
  room.state.set(key, { position, order });
  room.stateBodies.set(key, { position, event, ...(order > 0 && { order }) }, before);
  if (event.type === "m.room.server_acl" && event.state_key === "") room.acl = event.content;
}

/** F11. If it is current, the event at this position is not served as it was any more. */
export function redactState({ stateBodies, stateChanges }: Room, position: Position): void {
  for (const key of stateChanges.keysAt(position)) stateBodies.redact(key, position);
}

/** Called before the event is the current one. */
function foldMembership(room: Room, event: MatrixEvent, { position, order, since }: SetState): void {
  if (event.type !== "m.room.member" || typeof event.content.membership !== "string") return;
  const member = userId.safeParse(event.state_key);
  if (!member.success) return;
  const { membership } = event.content;
  room.membershipKnown = true;
  const before = room.members.get(member.data);
  if (before?.membership !== membership) {
    room.members.set(member.data, { membership, position, ...stayAfter(before, membership, since) });
    room.joined.move(member.data, before?.membership, membership);
    countPresent(room, before?.membership, membership);
  }
  // F12. A new display name begins no stay.
  const setAt = room.state.get(memberKey(member.data))?.order ?? 0;
  const left = setAt > 0 ? before?.membership : (membershipBefore(event) ?? before?.membership);
  if (membership === "join" && left !== "join" && order > 0) setJoin(room, member.data, order);
}

function countPresent({ present }: Room, before: string | undefined, membership: string): void {
  if (before === "join" || before === "invite") present[before]--;
  if (membership === "join" || membership === "invite") present[membership]++;
}

/** The current or last stay of a user whose membership changes at this order. */
function stayAfter(before: Member | undefined, membership: string, order: Order): Pick<Member, "joined" | "left"> {
  if (membership === "join") return { joined: order, left: 0 };
  const { joined = 0, left = 0 } = before ?? {};
  return { joined, left: before?.membership === "join" ? order : left };
}

/** What a member event says of the membership before it. */
function membershipBefore({ unsigned }: MatrixEvent): unknown {
  return (unsigned?.prev_content as { readonly membership?: unknown } | null | undefined)?.membership;
}

/** F12. A member event of the history began the user's stay, if no later one did. */
export function foldHistoricalJoin(room: Room, event: MatrixEvent, order: Order): void {
  if (event.type !== "m.room.member" || event.content.membership !== "join") return;
  const member = userId.safeParse(event.state_key);
  if (!member.success || membershipBefore(event) === "join" || order <= room.joinedAt(member.data)) return;
  setJoin(room, member.data, order);
}

function setJoin(room: Room, user: UserId, order: Order): void {
  room.joins.set(user, order);
  room.markers.touch(user, null);
}
