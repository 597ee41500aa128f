/** Matrix identifiers, parsed once at the edge into branded strings. `id-grammar.ts` says which texts are identifiers. */
import * as z from "zod";
import { ID_CHARS_MAX } from "../limits.ts";
import { isEventId, isRoomId, isServerName, isUserId, MAIN } from "./id-grammar.ts";

const identifier = <Brand extends string>(name: string, form: string, matches: (text: string) => boolean) =>
  z
    .string({ error: `must be ${name}` })
    .refine(matches, {
      error: `must be ${name} (${form}, at most ${ID_CHARS_MAX} characters, without NUL and lone surrogates)`,
    })
    .brand<Brand>();

/*
 * For the published descriptions of messages. Their patterns say less than what is checked here, so that they mean the same
 * to the regular expressions of every language.
 */
const described = (id: string, pattern: string, ...examples: string[]) => ({
  id,
  pattern,
  maxLength: ID_CHARS_MAX,
  description: `At most ${ID_CHARS_MAX} characters, any but NUL and lone surrogates.`,
  examples,
});

export const serverName = identifier<"ServerName">("a server name", "host or host:port", isServerName).meta(
  described("ServerName", "^[0-9A-Za-z.:\\[\\]-]+$", "example.org", "example.org:8448"),
);
export const userId = identifier<"UserId">("a user id", "@localpart:server", isUserId).meta(
  described("UserId", "^@[^:]*:[0-9A-Za-z.:\\[\\]-]+$", "@bob:example.org"),
);
export const roomId = identifier<"RoomId">("a room id", "!opaque or !opaque:server", isRoomId).meta(
  described("RoomId", "^![^\\u0000]+$", "!tide:example.org"),
);
export const eventId = identifier<"EventId">("an event id", "$opaque or $opaque:server", isEventId).meta(
  described("EventId", "^\\$[^\\u0000]+$", "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"),
);

export type ServerName = z.infer<typeof serverName>;
export type UserId = z.infer<typeof userId>;
export type RoomId = z.infer<typeof roomId>;
export type EventId = z.infer<typeof eventId>;

/** The main timeline, or the thread of a root (Matrix specification, "Threaded read receipts"). */
export type ThreadId = typeof MAIN | EventId;

const NO_THREAD = 'must be "main" or the event id of a thread root';

export const threadId = z
  .string({ error: NO_THREAD })
  .refine((text): text is ThreadId => text === MAIN || isEventId(text), { error: NO_THREAD })
  .meta({
    id: "ThreadId",
    pattern: "^(main|\\$[^\\u0000]+)$",
    maxLength: ID_CHARS_MAX,
    description: "`main`, or the event id of a thread's root.",
    examples: ["main"],
  });

/** The server that a user belongs to: what follows the first colon. */
export function localpartOf(user: UserId): string {
  return user.slice(1, user.indexOf(":"));
}

export function serverOf(user: UserId): ServerName {
  return user.slice(user.indexOf(":") + 1) as ServerName;
}
