/**
 * Server access control lists (Matrix specification, `m.room.server_acl`).
 *
 * Anybody with the power level may write such a list, so its cost is bounded: it is compiled once, most patterns are looked up by
 * hash, and the others take a step per character and 32 characters of the server's name, without backtracking
 * (`host-patterns.ts`).
 */
import { ACL_PATTERN_CHARS_MAX } from "../limits.ts";
import { HostPatterns } from "./host-patterns.ts";
import type { ServerName } from "./ids.ts";

/** Servers whose verdict by one room's server ACL is cached. */
export const ACL_CACHE_MAX = 1_024;

/** Whether the room lets this server's receipts in. */
export type ServerAcl = (server: ServerName) => boolean;

const PORT = /:\d{1,5}$/;
/** Not after a wildcard: `*.` is no name for every host. */
const LAST_DOTS = /(?<=[^.*?])\.+$/;

/**
 * What resolvers take for an address: brackets, and any name whose last label is a number (URL standard, "ends in a number
 * checker"), such as `1.2.3.4`, `1.2.3` and `0x7f.0.0.1`. No domain ends like that, so homeservers that recognise only four
 * decimal numbers differ in names that don't exist.
 */
const IP_LITERAL = /^(?:\[.*|(?:.*\.)?(?:\d+|0x[\da-f]*))$/s;

/** A server's name without its port, and one form for the names of the same host. */
const hostOf = (name: string) => name.toLowerCase().replace(LAST_DOTS, "");

/** The strings of a list. Other items are ignored one by one; what is no list has none. */
function stringsOf(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((item) => typeof item === "string").map(hostOf) : [];
}

/**
 * The rule of the specification, in its order: an IP literal unless they are allowed, `deny`, `allow`, and otherwise denied.
 * The port of a server name doesn't count, nor the dot at its end.
 *
 * Each list has at most `ACL_PATTERN_CHARS_MAX` characters of patterns that could match anything, which is more than an event
 * can have. Beyond, nobody is let in who would not be by the whole list: the rest of `allow` is ignored, and `deny` denies
 * everybody.
 */
export function serverAcl(content: Record<string, unknown>): ServerAcl {
  const allow = new HostPatterns(stringsOf(content.allow), ACL_PATTERN_CHARS_MAX);
  const deny = new HostPatterns(stringsOf(content.deny), ACL_PATTERN_CHARS_MAX);
  const literals = content.allow_ip_literals !== false;
  const known = new Map<ServerName, boolean>();

  const judge = (server: ServerName): boolean => {
    const host = hostOf(server.replace(PORT, ""));
    if (deny.isCut || (!literals && IP_LITERAL.test(host))) return false;
    return !deny.match(host) && allow.match(host);
  };

  return (server) => {
    let allowed = known.get(server);
    if (allowed === undefined) {
      if (known.size >= ACL_CACHE_MAX) known.clear();
      allowed = judge(server);
      known.set(server, allowed);
    }
    return allowed;
  };
}
