/**
 * Events in the format of the client-server API.
 *
 * Only the device that sent an event gets its transaction id (Matrix specification, "Transaction identifiers"). Events
 * that were sent through a gateway have transaction id and device id in `unsigned`, so every gateway can decide this.
 */
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { Device } from "./tokens.ts";

export interface Transaction {
  readonly transaction_id: string;
  readonly device_id: string | undefined;
}

/** `room` becomes the `room_id`. Events in `/sync` have none: there, the room is the key of the section. */
export function clientEvent(event: MatrixEvent, device: Device, room?: RoomId): MatrixEvent {
  const { room_id: _, ...rest } = event;
  const shown: MatrixEvent = room === undefined ? rest : { ...rest, room_id: room };
  if (event.unsigned?.transaction_id === undefined) return shown;
  const { transaction_id: transaction, device_id: from, ...unsigned } = event.unsigned;
  const own = event.sender === device.user && from === device.id;
  return { ...shown, unsigned: own ? { ...unsigned, transaction_id: transaction } : unsigned };
}
