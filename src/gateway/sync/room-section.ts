/** One room of a `/sync` response: what is known of it → what the client's filter lets it see. */
import type { RoomSnapshot } from "../../frontend/room-view.ts";
import { SYNC_TIMELINE_DEFAULT } from "../../limits.ts";
import type { MatrixEvent, OrderedEvent } from "../../matrix/event.ts";
import type { ReceiptContent } from "../../matrix/receipt.ts";
import { clientEvent } from "../client-event.ts";
import { type Filter, passes, roomPasses, timelineLimit } from "../filter.ts";
import type { Device } from "../tokens.ts";
import { mergeReceipts } from "./receipt-merge.ts";
import type { RoomChanges } from "./recent-deltas.ts";

/** Who looks, and what they want to see. */
export interface Viewer {
  readonly device: Device;
  readonly filter: Filter;
}

/** What a room is to show, before filters. */
export interface RoomNews extends RoomChanges {
  /** Whether events before these, since the client's token, are left out. */
  readonly limited: boolean;
  /** State that the timeline's events don't tell. */
  readonly state: readonly MatrixEvent[];
  /** The room is shown from its beginning, not from a token. */
  readonly whole: boolean;
}

/** Snapshot and state events → news. */
export function newsOf(pages: readonly RoomSnapshot[], state: readonly MatrixEvent[], whole: boolean): RoomNews {
  const { timeline, limited = false, private: own, fully_read: fullyRead } = pages[0]!;
  const inTimeline = new Set(timeline.map(({ event_id }) => event_id));
  return {
    events: timeline,
    receipts: [...pages.map(({ receipts }) => receipts), own ?? {}],
    ...(fullyRead !== undefined && { fullyRead }),
    limited,
    state: state.filter(({ event_id }) => !inTimeline.has(event_id)),
    whole,
  };
}

/** What changed, with all of the room's state. */
export function wholeState(
  state: readonly MatrixEvent[],
  changes: RoomChanges = { events: [], receipts: [] },
): RoomNews {
  const inTimeline = new Set(changes.events.map(({ event_id }) => event_id));
  return { ...changes, limited: false, state: state.filter(({ event_id }) => !inTimeline.has(event_id)), whole: true };
}

/** The section; undefined when there is nothing to show. */
export function roomSection(
  news: RoomNews,
  room: string,
  { filter, device }: Viewer,
): Record<string, unknown> | undefined {
  const wanted = filter.room ?? {};
  const limit = timelineLimit(wanted.timeline, SYNC_TIMELINE_DEFAULT);
  const inTimeline = roomPasses(wanted.timeline, room) ? news.events : [];
  const passing = inTimeline.filter((event) => passes(wanted.timeline, event));
  const events = limit === 0 ? [] : passing.slice(-limit);
  const shown = new Set(events);
  const state = [...news.state, ...news.events.filter((event) => event.state_key !== undefined && !shown.has(event))];
  const shownState = roomPasses(wanted.state, room) ? state.filter((event) => passes(wanted.state, event)) : [];
  const receipts = receiptsShown(news.receipts, room, filter);
  const accountData = fullyReadShown(news, room, filter);
  if (!news.whole && events.length + shownState.length + receipts.length + accountData.length === 0) return undefined;
  const limited = news.limited || events.length < passing.length;
  const first = events[0]?.unsigned.order;
  return {
    timeline: {
      events: events.map((event) => clientEvent(event, device)),
      limited,
      ...((first !== undefined || limited) && { prev_batch: historyToken(first) }),
    },
    state: { events: latestState(shownState).map((event) => clientEvent(event, device)) },
    ephemeral: { events: receipts },
    account_data: { events: accountData },
    ...(news.whole && { summary: {} }),
  };
}

/** A place in a room's history: before an order, or at its end. */
export function historyToken(order: number | undefined): string {
  return order === undefined ? "o" : `o${order}`;
}

/** The last of each type and key. */
function latestState(events: readonly (MatrixEvent | OrderedEvent)[]): MatrixEvent[] {
  return [...new Map(events.map((event) => [JSON.stringify([event.type, event.state_key]), event])).values()];
}

function receiptsShown(contents: readonly ReceiptContent[], room: string, { room: wanted }: Filter): object[] {
  if (!passes(wanted?.ephemeral, { type: "m.receipt" }) || !roomPasses(wanted?.ephemeral, room)) return [];
  const filled = contents.filter((content) => Object.keys(content).length > 0);
  return filled.length === 0 ? [] : [{ type: "m.receipt", content: mergeReceipts(filled) }];
}

function fullyReadShown({ fullyRead }: RoomNews, room: string, { room: wanted }: Filter): object[] {
  if (fullyRead === undefined || !passes(wanted?.account_data, { type: "m.fully_read" })) return [];
  if (!roomPasses(wanted?.account_data, room)) return [];
  return [{ type: "m.fully_read", content: { event_id: fullyRead.event_id } }];
}
