/**
 * State events of a room's section in `/sync`, as texts: events as JSON with commas between. A large room has very many, and they
 * are only passed on, so a page of them stays the text that a worker has made, unless something of it is left out.
 */
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { clientEvent, isShownAsItIs } from "../client-event.ts";
import { type Filter, isSelective, passes, roomPasses } from "../filter.ts";
import type { Device } from "../tokens.ts";

/** The device that syncs, and its filter. */
export interface Viewer {
  readonly device: Device;
  readonly filter: Filter;
}

/** Those that pass the filter, as the device is sent them. */
export function shownState(events: readonly MatrixEvent[], room: RoomId, { device, filter }: Viewer): string {
  const wanted = filter.room?.state;
  if (!roomPasses(wanted, room)) return "";
  return textOf(events.filter((event) => passes(wanted, event)).map((event) => clientEvent(event, device)));
}

/** The same of a page as workers pass it on. */
export function shownPage(page: string, room: RoomId, viewer: Viewer): string {
  const wanted = viewer.filter.room?.state;
  const isPassedOn = !isSelective(wanted) && roomPasses(wanted, room) && isShownAsItIs(page);
  return isPassedOn ? page : shownState(eventsIn(page), room, viewer);
}

/** Texts as one. */
export function joined(texts: readonly string[]): string {
  return texts.filter((text) => text !== "").join(",");
}

export function eventsIn(text: string): MatrixEvent[] {
  return JSON.parse(`[${text}]`);
}

/** Leaves events out, by id. Only the texts that name one of them are read. */
export function withoutEventsOf(texts: readonly string[], events: readonly MatrixEvent[]): string[] {
  const ids = new Set<string>(events.map(({ event_id: id }) => id));
  const names = [...ids].map((id) => [JSON.stringify(id)]);
  return withoutNamed(texts, names, ({ event_id: id }) => ids.has(id));
}

/** Leaves out what has the type and state key of one of the events. */
export function withoutKeysOf(texts: readonly string[], events: readonly MatrixEvent[]): string[] {
  const keys = new Set(events.map(keyOf));
  const names = events.map(({ type, state_key: key }) => [JSON.stringify(type), JSON.stringify(key)]);
  return withoutNamed(texts, names, (event) => keys.has(keyOf(event)));
}

/** The last event of each type and state key. */
export function latestOf(events: readonly MatrixEvent[]): MatrixEvent[] {
  return [...new Map(events.map((event) => [keyOf(event), event])).values()];
}

function withoutNamed(
  texts: readonly string[],
  names: readonly (readonly string[])[],
  isLeftOut: (event: MatrixEvent) => boolean,
): string[] {
  return texts.map((text) => {
    if (!names.some((parts) => parts.every((part) => text.includes(part)))) return text;
    return textOf(eventsIn(text).filter((event) => !isLeftOut(event)));
  });
}

function textOf(events: readonly MatrixEvent[]): string {
  return events.map((event) => JSON.stringify(event)).join(",");
}

function keyOf({ type, state_key: key }: MatrixEvent): string {
  return JSON.stringify([type, key]);
}
