/**
 * Which texts are Matrix identifiers (Matrix specification, appendices, "Identifier grammar").
 *
 * Servers accept more than the current grammar ("historical user ids"), so what is checked here is what would hurt:
 * the sigil, the domain where there must be one, 255 bytes, and no white space, control characters, lone surrogates or
 * NATS wildcards anywhere.
 *
 * Without any package, for `ReadState` in a browser.
 */
import { ID_BYTES_MAX } from "../limits.ts";

const SERVER = String.raw`(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?`;
const OPAQUE = String.raw`[^\s\p{Cc}\p{Cs}*>]`;
const LOCALPART = String.raw`[^\s\p{Cc}\p{Cs}*>:]*`;

const SERVER_NAME = new RegExp(`^${SERVER}$`);
const USER_ID = new RegExp(`^@${LOCALPART}:${SERVER}$`, "u");
const ROOM_ID = new RegExp(`^!${OPAQUE}+$`, "u");
const EVENT_ID = new RegExp(String.raw`^\$${OPAQUE}+$`, "u");

/** The thread id of the main timeline (Matrix specification, "Threaded read receipts"). */
export const MAIN = "main";

const utf8 = new TextEncoder();

/** Size of a text as UTF-8. A browser has no `Buffer`. */
export function utf8Bytes(text: string): number {
  return utf8.encode(text).length;
}

export const isServerName = (text: string): boolean => fits(text) && SERVER_NAME.test(text);
export const isUserId = (text: string): boolean => fits(text) && USER_ID.test(text);
export const isRoomId = (text: string): boolean => fits(text) && ROOM_ID.test(text);
export const isEventId = (text: string): boolean => fits(text) && EVENT_ID.test(text);

/** A UTF-16 unit is at most three bytes of UTF-8, so most ids need no count. */
function fits(id: string): boolean {
  return id.length * 3 <= ID_BYTES_MAX || (id.length <= ID_BYTES_MAX && utf8Bytes(id) <= ID_BYTES_MAX);
}
