/**
 * What is read and unread in the rooms of a client on matrix-js-sdk, from the orders in what its server sends (docs/clients.md). Call it before
 * `sdk.startClient()`.
 *
 * The SDK keeps fields that it doesn't know: orders are in `event.event.unsigned` and in the content of receipts.
 */
import { ClientEvent, type MatrixClient, type MatrixEvent, type Room, RoomEvent } from "matrix-js-sdk";
import { type ClientEvent as PlainEvent, ReadState } from "../../src/frontend/read-state.ts"; // In your project: "tidemark-frontend/read-state".

export function readStatesOf(sdk: MatrixClient): (room: string) => ReadState {
  const states = new Map<string, ReadState>();
  const stateOf = (room: string) => {
    const state = states.get(room) ?? new ReadState();
    states.set(room, state);
    return state;
  };
  const note = (event: MatrixEvent) => {
    const room = event.getRoomId();
    // As it came: the SDK decrypts elsewhere, and what decides is not encrypted.
    if (room !== undefined && event.getId() !== undefined) stateOf(room).note(event.event as PlainEvent);
  };

  // What `/sync` brings, then what `/messages` and `/relations` do. An event may come twice.
  sdk.on(ClientEvent.Event, note);
  sdk.on(RoomEvent.Timeline, note);

  // The SDK makes receipts of its own, for the senders of events. Only those of the server come as `ClientEvent.Event` as well, without their room.
  const roomOf = new WeakMap<MatrixEvent, Room>();
  sdk.on(RoomEvent.Receipt, (event, room) => roomOf.set(event, room));
  sdk.on(ClientEvent.Event, (event) => {
    const room = roomOf.get(event);
    if (room !== undefined) stateOf(room.roomId).apply(event.getContent());
  });
  return stateOf;
}
