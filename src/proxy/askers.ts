/**
 * Whose a client's request is: the homeserver is asked (`GET /account/whoami`), with what the request itself said of its sender.
 *
 *     token, user_id, device_id ──answered within the cache──▶ that user
 *                               ──being asked about──────────▶ the same answer
 *                               ──otherwise──────────────────▶ asked
 *
 * A bridge acts as its users by `user_id`, so a token alone does not say who it is. The client's address and program go with
 * the question, because the homeserver shows them to the user as those of the device.
 *
 * It is only asked about requests that the homeserver has accepted, or lets wait, so strangers can't make it ask. A token goes nowhere but to
 * the homeserver, and is kept as a digest.
 */
import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { PROXY_ASKERS_CACHED_MAX, WHOAMI_ANSWER_BYTES_MAX, WHOAMI_CACHE_MS, WHOAMI_TIMEOUT_MS } from "../limits.ts";
import { type UserId, userId } from "../matrix/ids.ts";
import { pairs, type RawHeaders, requestHeaders } from "./proxied-headers.ts";
import type { Upstream } from "./upstream.ts";

/** Who sends a request, as far as the request says it. */
export interface Asker {
  /** Equal for requests of one sender. */
  readonly key: string;
  /** The query of the question. */
  readonly query: string;
  readonly headers: RawHeaders;
}

/** With these, an application service says as whom it acts. */
const QUERY_KEYS = ["user_id", "device_id", "org.matrix.msc3202.device_id"] as const;
const HEADERS = /^(?:authorization|host|user-agent|forwarded|x-real-ip|x-forwarded-[a-z]+)$/i;

const answerSchema = z.object({ user_id: userId, device_id: z.string().optional().catch(undefined) });

interface AskingDevice {
  readonly user: UserId;
  /** Whether it is a device. An application service has none, unless it names one. */
  readonly hasId: boolean;
}

/** Returns undefined for a request without an access token. */
export function askerOf(request: IncomingMessage, host: string): Asker | undefined {
  const [, search = ""] = /\?(.*)$/s.exec(request.url ?? "") ?? [];
  const query = new URLSearchParams(search);
  const inQuery = query.get("access_token");
  const authorization = request.headers.authorization ?? (inQuery === null ? undefined : `Bearer ${inQuery}`);
  // A token in the query may have bytes that no header can have.
  if (authorization === undefined || !/^[\x20-\x7e]+$/.test(authorization)) return undefined;
  const headers = pairs(requestHeaders(request, { host, acceptEncoding: "identity" })).filter(([name]) =>
    HEADERS.test(name),
  );
  if (request.headers.authorization === undefined) headers.push(["Authorization", authorization]);
  const asked = new URLSearchParams();
  for (const key of QUERY_KEYS) {
    const value = query.get(key);
    if (value !== null) asked.set(key, value);
  }
  const digest = hash("sha256", authorization, "base64url");
  return { key: `${digest}?${asked}`, query: asked.size === 0 ? "" : `?${asked}`, headers: headers.flat() };
}

export class Askers {
  readonly #upstream: Upstream;
  readonly #known = new LRUCache<string, AskingDevice>({ max: PROXY_ASKERS_CACHED_MAX, ttl: WHOAMI_CACHE_MS });
  readonly #asked = new Map<string, Promise<AskingDevice | undefined>>();

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /** Whose it is, or was when that was asked last; undefined if it never was. */
  userOf({ key }: Asker): UserId | undefined {
    return this.#known.peek(key, { allowStale: true })?.user;
  }

  /** Returns undefined if the homeserver doesn't know (any more). Rejects when it doesn't answer. */
  async deviceOf(asker: Asker): Promise<AskingDevice | undefined> {
    const known = this.#known.get(asker.key);
    if (known !== undefined) return known;
    let asked = this.#asked.get(asker.key);
    if (asked === undefined) {
      asked = this.#ask(asker).finally(() => this.#asked.delete(asker.key));
      this.#asked.set(asker.key, asked);
    }
    return asked;
  }

  async #ask({ key, query, headers }: Asker): Promise<AskingDevice | undefined> {
    const { status, body } = await this.#upstream.ask(
      { method: "GET", path: `/_matrix/client/v3/account/whoami${query}`, headers },
      { timeoutMs: WHOAMI_TIMEOUT_MS, bytesMax: WHOAMI_ANSWER_BYTES_MAX },
    );
    if (status === 401 || status === 403) return undefined;
    if (status !== 200) throw new Error(`the homeserver answered ${status} when asked whose a request is`);
    const { user_id: user, device_id: id } = answerSchema.parse(JSON.parse(body.toString()));
    // Who acts as another says so in the query.
    const device = { user, hasId: id !== undefined && query === "" };
    this.#known.set(key, device);
    return device;
  }
}
