/**
 * Which texts are Matrix identifiers (Matrix specification, appendices, "Identifier grammar").
 *
 * Servers must accept more than the current grammar: user ids with spaces, `*` or control characters exist, and ids are
 * longer than 255 bytes if their characters are. So only what nothing could carry is refused: NUL, lone surrogates, more
 * than `ID_CHARS_MAX` code points, another sigil, and a server name that is none. Subjects encode everything else.
 *
 * Without any package, for `ReadState` in a browser.
 */
import { ID_CHARS_MAX } from "../limits.ts";

const SERVER_NAME = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** The thread id of the main timeline (Matrix specification, "Threaded read receipts"). */
export const MAIN = "main";

/**
 * Separates ids in the keys of maps: no id contains it. Any other character may be part of an id, so keys of two different
 * lists of ids could be equal.
 */
export const ID_SEPARATOR = "\0";

export function isServerName(text: string): boolean {
  return text.length <= ID_CHARS_MAX && SERVER_NAME.test(text);
}

/** The localpart may be empty. */
export function isUserId(text: string): boolean {
  if (text[0] !== "@" || !isCarried(text)) return false;
  const colon = text.indexOf(":");
  if (colon < 0) return false;
  const server = text.slice(colon + 1);
  if (server === lastServer) return true;
  if (!SERVER_NAME.test(server)) return false;
  lastServer = server;
  return true;
}

/** The server name of the last user id: the next one is most often of the same server, and the pattern costs more than the rest. */
let lastServer = "";

export const isRoomId = (text: string): boolean => text[0] === "!" && text.length > 1 && isCarried(text);
export const isEventId = (text: string): boolean => text[0] === "$" && text.length > 1 && isCarried(text);

function isCarried(id: string): boolean {
  return !id.includes("\0") && id.isWellFormed() && hasLengthOfId(id);
}

/** Whether a text has at most `ID_CHARS_MAX` code points. */
function hasLengthOfId(text: string): boolean {
  if (text.length <= ID_CHARS_MAX) return true;
  return text.length <= ID_CHARS_MAX * 2 && codePoints(text) <= ID_CHARS_MAX;
}

/** Whether a text can be an event type or a state key: any well-formed text of at most `ID_CHARS_MAX` code points. */
export function isName(text: string): boolean {
  return text.isWellFormed() && hasLengthOfId(text);
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
