/**
 * Pages of a room's state: as it is now, or as it was just after an event (docs/design.md#who-sees-what).
 *
 * A page goes through what is current now, by position; or through all changes of state, and takes those that are the nearest of their
 * key at the order. `next` is the `since` of the next page.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { StateBody } from "../../../actors/room/state-bodies.ts";
import { memberKey, type StateGroup, stateKey, typeOf } from "../../../actors/room/state-changes.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Answer, Page, Question } from "../../bus/contract/questions.ts";
import { EVENTS_SCAN_MAX } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { Asking } from "./asking.ts";
import { eventOf, type ServedState } from "./bodies.ts";
import { type Place, pageOf } from "./page.ts";

/** Matrix specification, "Stripped state": the state that tells an invited user what the room is. */
const STRIPPED = [
  "m.room.create",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.encryption",
].map((type) => stateKey(type, ""));

/** Memberships that are shown the stripped state of a room. */
const SHOWN_STRIPPED: ReadonlySet<string | undefined> = new Set(["join", "invite", "knock"]);

interface StatePlace extends Place {
  readonly key: string;
  /** What the store has there, if that was read. */
  readonly body?: StateBody | undefined;
}

/** What of a room's state is asked for. */
interface Asked {
  /** undefined: now. */
  readonly at: Order | undefined;
  /** Only these. */
  readonly keys?: readonly string[];
  readonly types?: ReadonlySet<string>;
  /** Of member events, only those of these users. */
  readonly members?: readonly UserId[];
}

/** State events that were set after a position, those set first before others. */
export function statePage(asking: Asking, query: Question<"state">): Promise<Page<MatrixEvent>> {
  return pageAs(asking, query, eventOf);
}

/** The same, as JSON. */
export async function stateJsonPage(asking: Asking, query: Question<"state_json">): Promise<Answer<"state_json">> {
  const jsonOf = (event: ServedState) => (typeof event === "string" ? event : JSON.stringify(event));
  const { events, ...more } = await pageAs(asking, query, jsonOf);
  return { events: events.join(","), ...more };
}

function pageAs<T>(
  { bodies, room, sizeOf }: Asking,
  query: Question<"state" | "state_json">,
  as: (event: ServedState) => T,
): Promise<Page<T>> {
  const places = placesOf(room, query.since ?? 0, asked(room, query));
  const read = async (shown: readonly StatePlace[]) => {
    const positions = shown.map(({ key, position, body }) => ({ key, position: position!, body }));
    return (await bodies.state(room, positions)).map(as);
  };
  return pageOf(places, { limit: EVENTS_SCAN_MAX, scan: EVENTS_SCAN_MAX, read, sizeOf });
}

function asked(room: Room, { viewer, at, types, members, stripped = false }: Question<"state" | "state_json">): Asked {
  const own = viewer === undefined ? [] : [memberKey(viewer)];
  const filter = { ...(types && { types: new Set(types) }), ...(members && { members }) };
  if (viewer === undefined) return { at, ...(stripped ? { keys: STRIPPED } : filter) };
  const membership = room.members.get(viewer)?.membership;
  const visibility = new Visibility(room, viewer);
  const left = membership === "join" ? undefined : visibility.lastLeave();
  const isShown = membership === "join" || left !== undefined;
  if (stripped) {
    return isShown || SHOWN_STRIPPED.has(membership)
      ? { at: SHOWN_STRIPPED.has(membership) ? undefined : left, keys: [...STRIPPED, ...own] }
      : { at: undefined, keys: own };
  }
  if (!isShown || (at !== undefined && !visibility.sees(at))) return { at: undefined, keys: own };
  return { at: left === undefined ? at : Math.min(left, at ?? left), ...filter };
}

/** The places of a page, and one more if there are more. */
function placesOf(room: Room, since: Position, wanted: Asked): StatePlace[] {
  if (room.position === 0) return []; // An unknown room has no store, either.
  const { at, keys, types, members } = wanted;
  if (keys !== undefined) return placesOfKeys(room, since, { at, keys });
  const groups: Iterable<StatePlace>[] = [placesOfGroup(room, "others", { since, wanted })];
  if (types === undefined || types.has("m.room.member")) {
    groups.push(
      members === undefined
        ? placesOfGroup(room, "members", { since, wanted })
        : placesOfKeys(room, since, { at, keys: members.map(memberKey) }),
    );
  }
  const places: StatePlace[] = [];
  for (const place of inOrder(groups)) if (places.push(place) > EVENTS_SCAN_MAX) break;
  return places;
}

function* placesOfGroup(
  room: Room,
  group: StateGroup,
  { since, wanted: { at, types } }: { readonly since: Position; readonly wanted: Asked },
): Generator<StatePlace> {
  const isOfType = (key: string) => types?.has(typeOf(key)) ?? true;
  if (at === undefined) {
    for (const [key, body] of room.stateBodies.above(group, since)) {
      yield { next: body.position, key, position: isOfType(key) ? body.position : undefined, body };
    }
    return;
  }
  const range = { dir: "f", above: since, below: Number.POSITIVE_INFINITY } as const;
  for (const [position, { key }] of room.stateChanges.places.range(group, range)) {
    const isWanted = isOfType(key) && positionOfKey(room, key, at) === position;
    yield { next: position, key, position: isWanted ? position : undefined };
  }
}

function placesOfKeys(
  room: Room,
  since: Position,
  { at, keys }: { readonly at: Order | undefined; readonly keys: readonly string[] },
): StatePlace[] {
  return [...new Set(keys)]
    .map((key) => ({ key, position: positionOfKey(room, key, at) }))
    .flatMap(({ key, position = 0 }) => (position > since ? [{ next: position, key, position }] : []))
    .sort((a, b) => a.next - b.next);
}

/** Where the log has the state event of a key, now or as of an order. */
function positionOfKey(room: Room, key: string, at: Order | undefined): Position | undefined {
  if (at === undefined) return room.state.peek(key)?.position;
  return room.stateChanges.nearest(key, at)?.[1].position;
}

/** The places of all, by position. */
function* inOrder(groups: readonly Iterable<StatePlace>[]): Generator<StatePlace> {
  const heads = groups.map((group) => {
    const rest = group[Symbol.iterator]();
    return { rest, head: rest.next() };
  });
  try {
    for (;;) {
      let first: (typeof heads)[number] | undefined;
      for (const each of heads) {
        if (each.head.done) continue;
        if (first?.head.done !== false || each.head.value.next < first.head.value.next) first = each;
      }
      if (first === undefined || first.head.done) return;
      yield first.head.value;
      first.head = first.rest.next();
    }
  } finally {
    for (const { rest } of heads) rest.return?.(); // Ends the reads of the store.
  }
}
