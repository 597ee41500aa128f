/**
 * Matrix identifiers, parsed once at the edge into branded strings (Matrix specification, appendices,
 * "Identifier grammar").
 *
 * Servers accept more than the current grammar ("historical user ids"), so what is checked here is what would hurt:
 * the sigil, the domain where there must be one, 255 bytes, and no white space, control characters, lone surrogates or
 * NATS wildcards anywhere.
 */
import * as z from "zod";
import { ID_BYTES_MAX } from "../limits.ts";

const SERVER = String.raw`(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?`;
const OPAQUE = String.raw`[^\s\p{Cc}\p{Cs}*>]`;
const LOCALPART = String.raw`[^\s\p{Cc}\p{Cs}*>:]*`;

const SERVER_NAME = new RegExp(`^${SERVER}$`);
const USER_ID = new RegExp(`^@${LOCALPART}:${SERVER}$`, "u");
const ROOM_ID = new RegExp(`^!${OPAQUE}+$`, "u");
const EVENT_ID = new RegExp(String.raw`^\$${OPAQUE}+$`, "u");

const utf8 = new TextEncoder();

/** Size of a text as UTF-8. The inspector's page folds, too, and a browser has no `Buffer`. */
export function utf8Bytes(text: string): number {
  return utf8.encode(text).length;
}

/** A UTF-16 unit is at most three bytes of UTF-8, so most ids need no count. */
function fits(id: string): boolean {
  return id.length * 3 <= ID_BYTES_MAX || (id.length <= ID_BYTES_MAX && utf8Bytes(id) <= ID_BYTES_MAX);
}

const identifier = <Brand extends string>(name: string, form: string, pattern: RegExp) =>
  z
    .string({ error: `must be ${name}` })
    .refine((id) => fits(id) && pattern.test(id), {
      error: `must be ${name} (${form}, at most ${ID_BYTES_MAX} bytes, no spaces, control characters, * or >)`,
    })
    .brand<Brand>();

export const serverName = identifier<"ServerName">("a server name", "host or host:port", SERVER_NAME);
export const userId = identifier<"UserId">("a user id", "@localpart:server", USER_ID);
export const roomId = identifier<"RoomId">("a room id", "!opaque or !opaque:server", ROOM_ID);
export const eventId = identifier<"EventId">("an event id", "$opaque or $opaque:server", EVENT_ID);

export type ServerName = z.infer<typeof serverName>;
export type UserId = z.infer<typeof userId>;
export type RoomId = z.infer<typeof roomId>;
export type EventId = z.infer<typeof eventId>;

/** The main timeline, or the thread of a root (Matrix specification, "Threaded read receipts"). */
export type ThreadId = "main" | EventId;
export const MAIN = "main" satisfies ThreadId;

export const threadId = z.custom<ThreadId>((value) => value === MAIN || eventId.safeParse(value).success, {
  error: 'must be "main" or the event id of a thread root',
});

/** The server that a user belongs to: what follows the first colon. */
export function serverOf(user: UserId): ServerName {
  return user.slice(user.indexOf(":") + 1) as ServerName;
}
