/** Matrix identifiers, parsed once at the edge into branded strings. `id-grammar.ts` says which texts are identifiers. */
import * as z from "zod";
import { ID_BYTES_MAX } from "../limits.ts";
import { isEventId, isRoomId, isServerName, isUserId, MAIN } from "./id-grammar.ts";

const identifier = <Brand extends string>(name: string, form: string, matches: (text: string) => boolean) =>
  z
    .string({ error: `must be ${name}` })
    .refine(matches, {
      error: `must be ${name} (${form}, at most ${ID_BYTES_MAX} bytes, no spaces, control characters, * or >)`,
    })
    .brand<Brand>();

export const serverName = identifier<"ServerName">("a server name", "host or host:port", isServerName);
export const userId = identifier<"UserId">("a user id", "@localpart:server", isUserId);
export const roomId = identifier<"RoomId">("a room id", "!opaque or !opaque:server", isRoomId);
export const eventId = identifier<"EventId">("an event id", "$opaque or $opaque:server", isEventId);

export type ServerName = z.infer<typeof serverName>;
export type UserId = z.infer<typeof userId>;
export type RoomId = z.infer<typeof roomId>;
export type EventId = z.infer<typeof eventId>;

/** The main timeline, or the thread of a root (Matrix specification, "Threaded read receipts"). */
export type ThreadId = typeof MAIN | EventId;

export const threadId = z.custom<ThreadId>((value) => value === MAIN || eventId.safeParse(value).success, {
  error: 'must be "main" or the event id of a thread root',
});

/** The server that a user belongs to: what follows the first colon. */
export function serverOf(user: UserId): ServerName {
  return user.slice(user.indexOf(":") + 1) as ServerName;
}
