/** Server access control lists (Matrix specification, `m.room.server_acl`). */
import type { ServerName } from "./ids.ts";

/** Servers whose verdict by one room's server ACL is cached. */
export const ACL_CACHE_MAX = 1_024;

/** Whether the room lets this server's receipts in. */
export type ServerAcl = (server: ServerName) => boolean;

const PORT = /:\d{1,5}$/;
const IP_LITERAL = /^(?:\[.*\]|\d{1,3}(?:\.\d{1,3}){3})$/;

/**
 * Whether `text` matches a glob of `*` and `?`. Patterns come from other servers, so this is no regular expression:
 * on a mismatch it goes back to the last star only, which takes at most pattern × text steps.
 */
function matches(glob: string, text: string): boolean {
  let g = 0;
  let t = 0;
  let star = -1;
  let retry = 0;
  while (t < text.length) {
    if (glob[g] === "*") {
      star = g++;
      retry = t;
    } else if (g < glob.length && (glob[g] === "?" || glob[g] === text[t])) {
      g++;
      t++;
    } else if (star >= 0) {
      g = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (glob[g] === "*") g++;
  return g === glob.length;
}

function globs(patterns: unknown): string[] {
  if (!Array.isArray(patterns)) return [];
  return patterns.filter((pattern) => typeof pattern === "string").map((pattern) => pattern.toLowerCase());
}

/**
 * The rule of the specification, in its order: an IP literal unless they are allowed, `deny`, `allow`, and otherwise
 * denied. The port of a server name doesn't count. A missing or malformed list is an empty one.
 */
export function serverAcl(content: Record<string, unknown>): ServerAcl {
  const allow = globs(content.allow);
  const deny = globs(content.deny);
  const literals = content.allow_ip_literals !== false;
  const known = new Map<ServerName, boolean>();

  const judge = (server: ServerName): boolean => {
    const host = server.replace(PORT, "").toLowerCase();
    if (!literals && IP_LITERAL.test(host)) return false;
    return !deny.some((glob) => matches(glob, host)) && allow.some((glob) => matches(glob, host));
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
