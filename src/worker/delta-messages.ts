/** A room's delta → its messages (docs/design.md#what-is-published). */
import { type Position, type ReceiptEntry, UNKNOWN_THREAD } from "../../actors/entry.ts";
import {
  type Erasure,
  type EventChange,
  type MemberChange,
  type RoomDelta,
  receiptEvent,
} from "../../actors/partition/changes.ts";
import { type Marker, publishedOrder } from "../../actors/room/marker.ts";
import type { Outgoing } from "../bus/client/acked-publisher.ts";
import type { FullyRead, MembershipAt } from "../bus/contract/fields.ts";
import { encodeMessage, type Published } from "../bus/contract/messages.ts";
import { clientEvents, clientReceipts, rejectedSubject, userReceipts } from "../bus/contract/subjects.ts";
import { PUBLISH_BYTES_MAX, STATE_MEMBERS_PUBLISHED_MAX } from "../limits.ts";
import { type OrderedEvent, withOrder } from "../matrix/event.ts";
import type { EventId, UserId } from "../matrix/ids.ts";
import { keyed } from "../matrix/receipt.ts";
import { isPrivate, type ShownAs, shownAs } from "../matrix/receipt-types.ts";

type EventsBody = Pick<Published<"events">, "kind" | "events" | "members">;

/**
 * `tidemark.client.<partition>.<room>.events`: as few messages as fit, each with events of one kind. A live member event is the last
 * of its message, whose `position` is therefore its own: readers compare it with the positions of memberships. Members of `state`
 * entries name their positions themselves, and come `STATE_MEMBERS_PUBLISHED_MAX` at a time.
 */
export function eventMessages(partition: number, { room, events, previous }: RoomDelta): Outgoing[] {
  const subject = clientEvents(partition, room);
  const messages: Outgoing[] = [];
  let before = previous.events;
  let from = 0;
  events.forEach((change, at) => {
    const { kind, position } = change;
    if (!isLast(change, at + 1 - from) && events[at + 1]?.kind === kind) return;
    const payloads = split(events.slice(from, at + 1), before, (part, through, after) =>
      encodeMessage("events", { room_id: room, position: through, previous: after, ...bodyOf(kind, part) }),
    );
    for (const payload of payloads) messages.push({ subject, payload });
    before = position;
    from = at + 1;
  });
  return messages;
}

/** Whether a message ends with this change, its `count`th. */
function isLast(change: RoomDelta["events"][number], count: number): boolean {
  if (change.kind === "state") return count === STATE_MEMBERS_PUBLISHED_MAX;
  return change.kind === "live" && change.event.type === "m.room.member" && change.event.state_key !== undefined;
}

function bodyOf(kind: EventsBody["kind"], part: readonly (EventChange | MemberChange)[]): EventsBody {
  const members: Record<string, MembershipAt> = {};
  const events: OrderedEvent[] = [];
  for (const change of part) {
    if (change.kind === "state") members[change.user] = change.membership;
    else events.push(withOrder(change.event, change.order));
  }
  return { kind, events, ...(kind === "state" && { members }) };
}

/** The markers of a delta, which are published after its events. */
export function markerMessages(partition: number, delta: RoomDelta): Outgoing[] {
  const messages: Outgoing[] = [];
  const changes = byPosition<Marker | Erasure>([...delta.markers, ...delta.erasures]);
  if (changes.length > 0) {
    const subject = clientReceipts(partition, delta.room);
    const payloads = split(changes, delta.previous.receipts, (part, position, previous) =>
      encodeMessage("receipts", { room_id: delta.room, position, previous, ...receiptsBody(part) }),
    );
    for (const payload of payloads) messages.push({ subject, payload });
  }
  for (const [user, markers] of delta.privateMarkers) {
    messages.push(...privateMessages(partition, delta, user, markers));
  }
  return messages;
}

function receiptsBody(part: readonly (Marker | Erasure)[]): Pick<Published<"receipts">, "event" | "erased"> {
  const markers: Marker[] = [];
  const erased: Record<UserId, EventId[]> = keyed();
  for (const change of part) {
    if ("event" in change) markers.push(change);
    else erased[change.user] = [...(erased[change.user] ?? []), ...change.events];
  }
  return { event: receiptEvent(markers), ...(markers.length < part.length && { erased }) };
}

/** `tidemark.rejected.<partition>.<room>`: one message for each. */
export function rejectionMessages(partition: number, { room, rejections }: RoomDelta): Outgoing[] {
  const subject = rejectedSubject(partition, room);
  return rejections.map(({ position, receipt, rejected: { reason, detail } }) => {
    const entry = reason === "erased" ? null : rejectedReceipt(receipt);
    return { subject, payload: encodeMessage("rejected", { room_id: room, position, entry, reason, detail }) };
  });
}

/** By field names; null for a private receipt, which only its user may see. */
function rejectedReceipt([, user, type, event, thread, ts, origin]: ReceiptEntry): Published<"rejected">["entry"] {
  if (isPrivate(type)) return null;
  return {
    user_id: user,
    receipt_type: type,
    event_id: event,
    ...(thread !== null && thread !== UNKNOWN_THREAD && { thread_id: thread }),
    ts,
    ...(origin !== null && { origin }),
  };
}

/** `tidemark.user.<partition>.<user>.receipts`: one message, or more for a user with very many threads. */
function privateMessages(partition: number, { room }: RoomDelta, user: UserId, markers: Iterable<Marker>): Outgoing[] {
  const subject = userReceipts(partition, user);
  return split(byPosition(markers), 0, (part, position) => {
    const {
      "m.receipt": shown,
      "m.fully_read": [fullyRead],
    } = privateMarkers(part);
    return encodeMessage("private", {
      user_id: user,
      room_id: room,
      position,
      ...(shown.length > 0 && { event: receiptEvent(shown) }),
      ...(fullyRead !== undefined && { fully_read: fullyReadOf(fullyRead) }),
    });
  }).map((payload) => ({ subject, payload }));
}

/** A user's private markers, by how clients get them. There is at most one `m.fully_read` marker. */
export function privateMarkers(own: readonly Marker[]): Record<ShownAs, Marker[]> {
  const byShowing: Record<ShownAs, Marker[]> = { "m.receipt": [], "m.fully_read": [] };
  for (const marker of own) if (isPrivate(marker.type)) byShowing[shownAs(marker.type)].push(marker);
  return byShowing;
}

function byPosition<T extends { readonly position: Position }>(changes: Iterable<T>): T[] {
  return [...changes].sort((a, b) => a.position - b.position);
}

export function fullyReadOf(marker: Marker): FullyRead {
  return { event_id: marker.event, order: publishedOrder(marker) };
}

/**
 * Encodes changes, sorted by position, into as few messages as fit. A message is cut where the position changes, so
 * that each covers all changes through its own. For changes at one position that don't fit into one message (thousands of long
 * ids released by one event) the message is empty, and its `previous` is its own position: no reader can have that, so all of
 * them ask for a snapshot.
 */
function split<T extends { readonly position: Position }>(
  changes: readonly T[],
  previous: Position,
  build: (part: readonly T[], position: Position, previous: Position) => Uint8Array,
): Uint8Array[] {
  const position = changes.at(-1)!.position;
  const payload = build(changes, position, previous);
  if (payload.length <= PUBLISH_BYTES_MAX) return [payload];
  const cut = cutNear(changes, changes.length >> 1);
  if (cut === undefined) return [build([], position, position)];
  const first = split(changes.slice(0, cut), previous, build);
  return first.concat(split(changes.slice(cut), changes[cut - 1]!.position, build));
}

/** The index nearest to the middle at which a new position begins. */
function cutNear(changes: readonly { readonly position: Position }[], middle: number): number | undefined {
  const begins = (i: number) => i > 0 && i < changes.length && changes[i]!.position !== changes[i - 1]!.position;
  for (let away = 0; away <= middle; away++) {
    if (begins(middle - away)) return middle - away;
    if (begins(middle + away)) return middle + away;
  }
  return undefined;
}
