/**
 * Events in the format of the client-server API.
 *
 * Only the device that sent an event gets its transaction id (Matrix specification, "Transaction identifiers"), and nobody
 * gets the device. Events that were sent through a gateway have both in `unsigned`, so every gateway can decide this. The
 * same holds for events inside of `unsigned`, such as the redaction of an event: these are never shown with either.
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
  if (event.unsigned === undefined) return shown;
  const { transaction_id: transaction, device_id: from, ...others } = event.unsigned;
  const unsigned = withoutTransactions(others);
  const own = transaction !== undefined && event.sender === device.user && from === device.id;
  return { ...shown, unsigned: own ? { ...unsigned, transaction_id: transaction } : unsigned };
}

const LEFT_OUT = /"(?:room_id|transaction_id|device_id)"/;

/** Whether JSON of events, no key of them escaped, is what each device is sent of them. `false` promises nothing. */
export function isShownAsItIs(json: string): boolean {
  return !LEFT_OUT.test(json);
}

function holdsNoEvent(unsigned: Record<string, unknown>): boolean {
  return Object.values(unsigned).every((value) => typeof value !== "object");
}

/** Leaves out the transactions and devices of all events inside of `unsigned`, however deep. */
function withoutTransactions(unsigned: Record<string, unknown>): Record<string, unknown> {
  if (holdsNoEvent(unsigned)) return unsigned;
  return Object.fromEntries(Object.entries(unsigned).map(([key, value]) => [key, stripped(value)]));
}

function stripped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (key !== "unsigned" || typeof inner !== "object" || inner === null) return [key, stripped(inner)];
      const { transaction_id: _, device_id: __, ...others } = inner as Record<string, unknown>;
      return [key, stripped(others)];
    }),
  );
}
