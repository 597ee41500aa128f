/**
 * Slows down guessing of tokens and passwords: after `WRONG_SECRETS_MAX` wrong ones within a window, further ones from
 * the same address are refused without being checked.
 *
 * The address is that of the connection, because a sender could write any other into a header. So behind a proxy all
 * clients share their guesses. Sessions that exist are not affected.
 */
import type { FastifyRequest } from "fastify";
import { WRONG_SECRETS_MAX, WRONG_SECRETS_WINDOW_MS } from "../limits.ts";
import { tooManyRequests } from "./matrix-error.ts";
import { RequestLimit } from "./request-limit.ts";

/** Groups of an IPv6 address that a network has in common: whoever has one address of a /64 usually has all of them. */
const NETWORK_GROUPS = 4;
const GROUPS = 8;

export class WrongSecrets {
  readonly #limit = new RequestLimit({ max: WRONG_SECRETS_MAX, windowMs: WRONG_SECRETS_WINDOW_MS });

  /** Checks a secret. Throws `M_LIMIT_EXCEEDED`, and checks nothing, after too many wrong ones. */
  check<T>({ ip }: FastifyRequest, check: () => T | undefined): T | undefined {
    const network = networkOf(ip);
    const waitMs = this.#limit.waitMs(network);
    if (waitMs !== undefined) throw tooManyRequests(waitMs);
    const found = check();
    if (found === undefined) this.#limit.take(network);
    return found;
  }
}

/** Returns an IPv4 address, or the first half of an IPv6 address. */
export function networkOf(ip: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(ip)?.[1];
  if (mapped !== undefined || !ip.includes(":")) return mapped ?? ip;
  const [head = [], tail = []] = ip.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = new Array<string>(Math.max(0, GROUPS - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, NETWORK_GROUPS).join(":");
}
