/**
 * What clients show of an event besides itself (Matrix specification, "Aggregations of child events"): the thread that it is the
 * root of, its newest edit, and the newest references to it. And the roots of a room's threads.
 *
 * What one event costs does not depend on how many relate to it: counts are kept, and the newest events are the first rows of their
 * index. Only redacted events, and edits that are not valid, are passed over, up to `EVENTS_SCAN_MAX` of them.
 */
import type { EventInfo, Order } from "../../../actors/entry.ts";
import { type OrderRange, relationKey } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import { HALF_AN_ORDER } from "../../../actors/room/state-changes.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Aggregation, Answer, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX, EVENTS_PAGE_DEFAULT, EVENTS_SCAN_MAX, REFERENCES_MAX } from "../../limits.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import type { EventId, UserId } from "../../matrix/ids.ts";
import type { Asking } from "./asking.ts";
import { type Place, pageOf } from "./page.ts";
import type { ReadBodies } from "./seen-bodies.ts";

type Bodies = Pick<ReadBodies, "at" | "one">;

interface Reading extends Omit<Asking, "bodies"> {
  readonly bodies: Bodies;
}

/** What one user may see of a room; everything without one. */
interface View {
  readonly room: Room;
  readonly viewer: UserId | undefined;
  readonly visibility: Visibility | undefined;
}

/** Events that are looked at at once. */
const EVENTS_AT_ONCE = 16;

/** Edits of one event whose body is read, to find a valid one. */
const EDITS_READ_MAX = 4;

const EVERYTHING: OrderRange = { dir: "b", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY };

export async function aggregations(
  reading: Reading,
  { event_ids: ids, viewer }: Question<"aggregations">,
): Promise<Answer<"aggregations">> {
  return aggregationsOf(reading, ids, { viewer, bytesMax: ANSWER_BYTES_MAX, atLeast: 1 });
}

/** As many as fit, and `atLeast` so many events. */
export async function aggregationsOf(
  { bodies, room, sizeOf }: Reading,
  ids: readonly EventId[],
  {
    viewer,
    bytesMax,
    atLeast,
  }: { readonly viewer: UserId | undefined; readonly bytesMax: number; readonly atLeast: number },
): Promise<Answer<"aggregations">> {
  const view: View = { room, viewer, visibility: viewer === undefined ? undefined : new Visibility(room, viewer) };
  const found: Record<string, Aggregation> = {};
  let bytes = 0;
  for (let at = 0; at < ids.length; at += EVENTS_AT_ONCE) {
    const part = ids.slice(at, at + EVENTS_AT_ONCE);
    const each = await Promise.all(part.map((id) => aggregationOf(bodies, view, id)));
    for (const [i, aggregation] of each.entries()) {
      if (aggregation === undefined) continue;
      bytes += sizeOf(aggregation);
      if (bytes > bytesMax && Object.keys(found).length >= atLeast) return { aggregations: found, next: part[i]! };
      found[part[i]!] = aggregation;
    }
  }
  return { aggregations: found };
}

async function aggregationOf(bodies: Bodies, view: View, id: EventId): Promise<Aggregation | undefined> {
  const { room, viewer } = view;
  const info = room.events.get(id);
  if (info === undefined || view.visibility?.sees(info.order) === false) return undefined;
  const count = repliesIn(view, info);
  const replace = await editOf(bodies, view, info);
  const references = referencesTo(view, id);
  if (count === 0 && replace === undefined && references.length === 0) return undefined;
  const latest = count === 0 ? undefined : await latestIn(bodies, view, id);
  const participated = viewer !== undefined && takesPart(room, info, viewer);
  return {
    ...(count > 0 && { thread: { count, participated, ...(latest !== undefined && { latest }) } }),
    ...(replace !== undefined && { replace }),
    ...(references.length > 0 && { references }),
  };
}

/**
 * How many events of a thread are not redacted. One who was shown more than the own stays would learn that others go on: so the
 * events that such a viewer sees are counted one by one, `EVENTS_SCAN_MAX` at most.
 */
function repliesIn(view: View, { id, order }: EventInfo): number {
  const { count = 0 } = view.room.threads.summaries.get(id) ?? {};
  if (count === 0 || view.visibility === undefined || view.visibility.seesAllFrom(order)) return count;
  let seen = 0;
  for (const _ of relating(view, relationKey(id, "m.thread"))) seen++;
  return seen;
}

/** The newest references to an event, the older ones first. */
function referencesTo(view: View, id: EventId): EventId[] {
  const found: EventId[] = [];
  for (const info of relating(view, relationKey(id, "m.reference"))) {
    found.push(info.id);
    if (found.length === REFERENCES_MAX) break;
  }
  return found.reverse();
}

/** The newest event of a thread that is not redacted, with its edit. */
async function latestIn(bodies: Bodies, view: View, root: EventId): Promise<OrderedEvent | undefined> {
  for (const info of relating(view, relationKey(root, "m.thread"))) {
    const event = (await bodies.one(view.room, info.id))!;
    const edit = await editOf(bodies, view, info);
    if (edit === undefined) return event;
    return { ...event, unsigned: { ...event.unsigned, "m.relations": { "m.replace": edit } } };
  }
  return undefined;
}

/** The newest valid edit: by the same sender, of the same type, with new content, of an event that is neither state nor redacted. */
async function editOf(bodies: Bodies, view: View, target: EventInfo): Promise<OrderedEvent | undefined> {
  const { room } = view;
  if (target.redaction !== undefined) return undefined;
  let type: string | undefined;
  let read = 0;
  for (const info of relating(view, relationKey(target.id, "m.replace"))) {
    if (info.sender !== target.sender) continue;
    if (read++ === EDITS_READ_MAX) return undefined;
    if (type === undefined) {
      const edited = (await bodies.one(room, target.id))!;
      if (edited.state_key !== undefined) return undefined;
      type = edited.type;
    }
    const edit = (await bodies.one(room, info.id))!;
    const hasContent = edit.type === "m.room.encrypted" || typeof edit.content["m.new_content"] === "object";
    if (edit.type === type && edit.state_key === undefined && hasContent) return edit;
  }
  return undefined;
}

/** The events that relate in this way, that the viewer may see and that are not redacted, newest first, of at most `EVENTS_SCAN_MAX`. */
function* relating({ room, visibility }: View, key: string): Generator<EventInfo> {
  let scanned = 0;
  for (const [, id] of room.relationsByType.range(key, EVERYTHING)) {
    if (scanned++ === EVENTS_SCAN_MAX) return;
    const info = room.events.get(id)!;
    if (info.redaction === undefined && visibility?.sees(info.order) !== false) yield info;
  }
}

/** The range of what a viewer may see, below an order. Not even the orders of what came later are the viewer's to know. */
function seenBelow(visibility: Visibility | undefined, from = Number.POSITIVE_INFINITY): OrderRange {
  const end = visibility === undefined ? Number.POSITIVE_INFINITY : visibility.end() + HALF_AN_ORDER;
  return { ...EVERYTHING, below: Math.min(from, end) };
}

/** Whether the viewer sees the root, and nothing of its thread that is newer than this event of it. */
function isLastActivity({ room, visibility }: View, root: EventInfo, order: Order): boolean {
  if (visibility?.sees(root.order) === false) return false;
  const { latest } = room.threads.summaries.get(root.id)!;
  if (visibility === undefined || visibility.seesAllFrom(root.order)) return order === latest;
  if (!visibility.sees(order)) return false;
  const newer = room.relationsByType.range(relationKey(root.id, "m.thread"), { ...EVERYTHING, dir: "f", above: order });
  let looked = 0;
  for (const [at] of newer) {
    if (visibility.sees(at)) return false;
    if (looked++ === EVENTS_SCAN_MAX) break;
  }
  return true;
}

function takesPart(room: Room, root: EventInfo, user: UserId): boolean {
  return root.sender === user || room.threads.sentBy(user, root.id) > 0;
}

/** A page of roots. `next` is the `from` of the next page. */
export function rootPage({ bodies, room, sizeOf }: Reading, question: Question<"roots">): Promise<Answer<"roots">> {
  const { participated: user, from, limit = EVENTS_PAGE_DEFAULT, viewer } = question;
  const visibility = viewer === undefined ? undefined : new Visibility(room, viewer);
  const view: View = { room, viewer, visibility };
  const places: Place[] = [];
  let shown = 0;
  for (const [order, root] of room.threads.byActivity(seenBelow(visibility, from))) {
    const info = root === undefined ? undefined : room.events.get(root);
    const isShown = info !== undefined && isLastActivity(view, info, order);
    const isWanted = isShown && (user === undefined || takesPart(room, info, user));
    places.push({ next: order, position: isWanted ? info.position : undefined });
    if (isWanted && shown++ === limit) return pageOf(places, { limit, scan: places.length - 1, read, sizeOf });
    if (places.length > EVENTS_SCAN_MAX) break;
  }
  return pageOf(places, { limit, scan: EVENTS_SCAN_MAX, read, sizeOf });

  function read(shown: readonly Place[]) {
    return bodies.at(
      room,
      shown.map(({ position }) => position!),
    );
  }
}
