/**
 * An event as a client gets it.
 *
 * A transaction id is for the device alone that sent the event (Matrix specification, "Transaction identifiers"). Events that
 * were sent through a gateway have both in `unsigned`, so every gateway can tell.
 */
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { Device } from "./tokens.ts";

export interface Transaction {
  readonly transaction_id: string;
  readonly device_id: string | undefined;
}

/** With the room, but in `/sync`, where it stands outside of its events. */
export function clientEvent(event: MatrixEvent, device: Device, room?: RoomId): MatrixEvent {
  const { room_id: _, ...rest } = event;
  const shown: MatrixEvent = room === undefined ? rest : { ...rest, room_id: room };
  if (event.unsigned?.transaction_id === undefined) return shown;
  const { transaction_id: transaction, device_id: from, ...unsigned } = event.unsigned;
  const own = event.sender === device.user && from === device.id;
  return { ...shown, unsigned: own ? { ...unsigned, transaction_id: transaction } : unsigned };
}
