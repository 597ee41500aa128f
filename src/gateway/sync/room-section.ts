/** The section of one room in a `/sync` response: an update of the room, reduced by the client's filter. */
import type { Position } from "../../../actors/entry.ts";
import type { Answer, RoomSummary } from "../../bus/contract/questions.ts";
import { SYNC_TIMELINE_DEFAULT } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { type ReceiptItem, receiptItems } from "../../matrix/receipt.ts";
import { FULLY_READ } from "../../matrix/receipt-types.ts";
import { type Aggregations, withRelations } from "../bundled-events.ts";
import { clientEvent } from "../client-event.ts";
import { type Filter, passes, roomPasses, timelineLimit } from "../filter.ts";
import { type KeptReceipts, NO_RECEIPTS, readReceipts, receiptsJson } from "./receipt-merge.ts";
import { changesSummary } from "./room-summaries.ts";
import type { RoomChanges } from "./shared-changes.ts";
import { joined, latestOf, shownState, type Viewer, withoutEventsOf, withoutKeysOf } from "./shown-state.ts";

/** What a sync has to send about a room, before filters apply. */
export interface RoomUpdate extends Omit<RoomChanges, "receipts"> {
  readonly receipts: readonly KeptReceipts[];
  /** Whether older events since the client's token are left out. */
  readonly limited: boolean;
  /** State events, as texts (`shown-state.ts`). Those of the timeline may be among them. */
  readonly state: readonly string[];
  /** Whether this is the whole room, not the changes since a token. */
  readonly whole: boolean;
  /** Whether the client was sent nothing of it, whatever its token says: the user's stay is newer. Default: false. */
  readonly isNew?: boolean;
  /** What belongs to the events. Default: nothing is known. */
  readonly aggregations?: Aggregations;
  /** How many are in the room. Default: the client knows it, or nobody has said. */
  readonly summary?: RoomSummary;
  /** The position of the newest event, if a snapshot has it. */
  readonly readThrough?: Position;
}

/** `pages`: of one snapshot. The first one has the timeline and the private data. */
export function updateFromSnapshot(
  pages: readonly Answer<"snapshot">[],
  state: readonly string[],
  whole: boolean,
): RoomUpdate {
  const { timeline, timeline_position: readThrough, limited = false, fully_read: fullyRead } = pages[0]!;
  const { aggregations, summary } = pages[0]!;
  return {
    events: timeline,
    receipts: pages.flatMap(({ receipts, private: own }) => [receipts, own ?? {}]),
    ...(fullyRead !== undefined && { fullyRead: { ...fullyRead, position: pages[0]!.position } }),
    limited,
    state,
    whole,
    ...(aggregations !== undefined && { aggregations }),
    ...(summary !== undefined && (whole || limited || changesSummary(timeline)) && { summary }),
    ...(readThrough !== undefined && { readThrough }),
  };
}

/** Returns the update without events that the client has. Of all of the room's state, none is left out. */
export function withoutEvents(update: RoomUpdate, sent: ReadonlySet<string>): RoomUpdate {
  const had = update.events.filter(({ event_id: id }) => sent.has(id));
  return {
    ...update,
    events: update.events.filter(({ event_id: id }) => !sent.has(id)),
    state: update.whole ? update.state : withoutEventsOf(update.state, had.filter(isState)),
  };
}

/** Returns the section as JSON; undefined if there is nothing to send. */
export function roomSection(update: RoomUpdate, room: RoomId, viewer: Viewer): string | undefined {
  const { filter, device } = viewer;
  const wanted = filter.room ?? {};
  const limit = timelineLimit(wanted.timeline, SYNC_TIMELINE_DEFAULT);
  const inTimeline = roomPasses(wanted.timeline, room) ? update.events : [];
  const passing = inTimeline.filter((event) => passes(wanted.timeline, event));
  const events = limit === 0 ? [] : passing.slice(-limit);
  const shown = new Set(events.map(({ event_id: id }) => id));
  const hidden = latestOf(update.events.filter((event) => isState(event) && !shown.has(event.event_id)));
  const others = withoutKeysOf(withoutEventsOf(update.state, events.filter(isState)), hidden);
  const state = joined([...others, shownState(hidden, room, viewer)]);
  const receipts = receiptsShown(update.receipts, room, filter);
  const accountData = fullyReadShown(update, room, filter);
  const isEmpty = events.length + accountData.length === 0 && state === "" && receipts === NO_RECEIPTS;
  if (!update.whole && isEmpty) return undefined;
  const limited = update.limited || events.length < passing.length;
  const first = events[0]?.unsigned.order;
  const timeline = {
    events: events.map((event) =>
      withRelations(clientEvent(event, device), update.aggregations?.[event.event_id], { device, room }),
    ),
    limited,
    ...((first !== undefined || limited) && { prev_batch: historyToken(first) }),
  };
  return sectionOf({ timeline, state, receipts, accountData });
}

interface Section {
  readonly timeline: object;
  readonly state: string;
  readonly receipts: string;
  readonly accountData: readonly object[];
}

function sectionOf({ timeline, state, receipts, accountData }: Section): string {
  const parts = [
    `"timeline":${JSON.stringify(timeline)}`,
    `"state":{"events":[${state}]}`,
    `"ephemeral":{"events":[${receipts === NO_RECEIPTS ? "" : `{"type":"m.receipt","content":${receipts}}`}]}`,
    `"account_data":${JSON.stringify({ events: accountData })}`,
  ];
  return `{${parts.join(",")}}`;
}

function isState({ state_key: key }: MatrixEvent): boolean {
  return key !== undefined;
}

/**
 * Returns a section that tells nothing but the unread counts: for a client that wants no receipts, when another device of its
 * user has read. undefined if none has, or if the client is shown receipts.
 */
export function countsSection(
  receipts: readonly KeptReceipts[],
  room: string,
  { filter, device }: Viewer,
): string | undefined {
  if (showsReceipts(room, filter)) return undefined;
  const isOwn = ({ user }: ReceiptItem) => user === device.user;
  if (!receipts.some((kept) => [...receiptItems(readReceipts(kept))].some(isOwn))) return undefined;
  return sectionOf({ timeline: { events: [], limited: false }, state: "", receipts: NO_RECEIPTS, accountData: [] });
}

/** Returns a pagination token (`history-routes.ts`): the place just before an order, or the end of the room. */
export function historyToken(order: number | undefined): string {
  return order === undefined ? "o" : `o${order}`;
}

function showsReceipts(room: string, { room: wanted }: Filter): boolean {
  return passes(wanted?.ephemeral, { type: "m.receipt" }) && roomPasses(wanted?.ephemeral, room);
}

function receiptsShown(contents: readonly KeptReceipts[], room: string, filter: Filter): string {
  return showsReceipts(room, filter) ? receiptsJson(contents) : NO_RECEIPTS;
}

function fullyReadShown({ fullyRead }: RoomUpdate, room: string, { room: wanted }: Filter): object[] {
  if (fullyRead === undefined || !passes(wanted?.account_data, { type: FULLY_READ })) return [];
  if (!roomPasses(wanted?.account_data, room)) return [];
  return [{ type: FULLY_READ, content: { event_id: fullyRead.event_id } }];
}
