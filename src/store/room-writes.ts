/** What a checkpoint writes of a room. `room-rows.ts` reads it again. */
import type { Room } from "../../actors/room/room.ts";
import { groupOf } from "../../actors/room/state-changes.ts";
import { keyPart, withName } from "./keys.ts";
import {
  eventRow,
  markerRow,
  memberRow,
  roomRow,
  stateBodyRow,
  stateChangeRow,
  statePlaceRow,
  stateRow,
  threadRow,
  unsettledRow,
} from "./rows.ts";
import type { Key } from "./stored-rows.ts";
import { KEY_ONLY, markerKey, markerPlace, type TableName } from "./tables.ts";

/** Writes a row; undefined deletes it. */
export type Put = (table: TableName, key: Key, value: unknown) => void;

/** Collects the rows of a room that have changed since its last commit. `number`: the room's number in the store. */
export function collectRoom(room: Room, number: number, put: Put): void {
  const named = (table: TableName, name: string, value: unknown) =>
    put(table, [number, keyPart(name)], withName(name, value));
  const {
    events,
    byOrder,
    relations,
    relationsByType,
    threads,
    markers,
    members,
    joined,
    joins,
    redactions,
    erasures,
    state,
    stateChanges,
    stateBodies,
    held,
    unsettled,
    sent,
    unread,
  } = room;
  events.collect((id, info) => named("events", id, eventRow(info)));
  byOrder.collect((_, order, position) => put("orders", [number, order], position));
  relations.collect((target, order, id) => put("relations", [number, keyPart(target), order], id));
  relationsByType.collect((key, order, id) => put("relationsByType", [number, keyPart(key), order], id));
  threads.summaries.collect((root, summary) => named("threads", root, threadRow(summary)));
  threads.senders.collect((key, count) => named("threadSenders", key, count));
  threads.activity.collect((_, order, root) => put("threadActivity", [number, order], root));
  markers.collect({
    set: (marker) => put("markers", markerKey(number, marker), withName(marker.user, markerRow(marker))),
    delete: (marker) => put("markers", markerKey(number, marker), undefined),
    place: (marker, position) =>
      put("markerPlaces", markerPlace(number, position, marker), withName(marker.user, markerRow(marker))),
    unplace: (marker, position) => put("markerPlaces", markerPlace(number, position, marker), undefined),
  });
  members.collect((user, changed) => {
    const row = memberRow(changed);
    named("members", user, row);
    put("memberships", [keyPart(user), keyPart(room.id)], withName(room.id, row));
  });
  joined.collect((server, count) =>
    put("joined", [number, keyPart(server)], count === undefined ? undefined : withName(server, count)),
  );
  joins.collect((user, order) => named("joins", user, order));
  redactions.collect((target, redaction) => named("redactions", target, redaction));
  erasures.collect((user, before) => named("erasures", user, before));
  state.collect((key, event) => named("state", key, stateRow(event)));
  stateBodies.collect({
    set: (key, body) => put("stateBodies", [number, groupOf(key), body.position], stateBodyRow(key, body)),
    delete: (key, position) => put("stateBodies", [number, groupOf(key), position], undefined),
  });
  stateChanges.byKey.collect((key, order, change) =>
    put("stateChanges", [number, keyPart(key), order], stateChangeRow(change)),
  );
  stateChanges.places.collect((group, position, place) =>
    put("statePlaces", [number, group, position], statePlaceRow(place)),
  );
  held.collect((position, receipt) => put("held", [number, position], receipt?.receipt));
  unsettled.collect((position, event) =>
    put("unsettled", [number, position], event === undefined ? undefined : unsettledRow(event)),
  );
  sent.main.collect((user, order) => named("sent", user, order));
  sent.collect(({ user, thread, order, present }) =>
    put("sentInThreads", [number, keyPart(user), keyPart(thread), order], present ? KEY_ONLY : undefined),
  );
  unread.collect(({ thread, order, sender }) =>
    put("unread", [number, keyPart(thread), order], sender === undefined ? undefined : withName(thread, sender)),
  );
  put("rooms", keyPart(room.id), roomRow(number, room, { held: held.size, unsettled: unsettled.size }));
}
