/**
 * Asks a homeserver whose an access token is (`GET /account/whoami`).
 *
 *     token ──malformed────────────────────▶ unknown
 *           ──answered within the cache──────▶ that answer
 *           ──being asked about──────────────▶ the same answer
 *           ──too many asked about, or too many unknown ones of this address──▶ M_LIMIT_EXCEEDED
 *           ──otherwise──────────────────────▶ asked
 *
 * Anybody can send any token, so strangers decide how much is asked: what is open, kept and read of an answer is bounded,
 * and answers about unknown tokens don't evict those about others. Where the homeserver redirects to is not followed: it
 * would get the token.
 */
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { MatrixError, tooManyRequests } from "../http/matrix-error.ts";
import { RequestLimit } from "../http/request-limit.ts";
import { networkOf } from "../http/wrong-secrets.ts";
import {
  ID_CHARS_MAX,
  RETRY_AFTER_MS,
  UNKNOWN_TOKENS_MAX,
  UNKNOWN_TOKENS_WINDOW_MS,
  WHOAMI_ANSWER_BYTES_MAX,
  WHOAMI_ASKED_MAX,
  WHOAMI_CACHE_MS,
  WHOAMI_TIMEOUT_MS,
} from "../limits.ts";
import { userId } from "../matrix/ids.ts";
import { type Device, digestOf } from "./device.ts";

/** Tokens of users, and unknown ones, whose answer is cached. By their digest, so each costs about the same. */
const ANSWERS_CACHED_MAX = 10_000;

const PATH = "_matrix/client/v3/account/whoami";

/** What can stand in a header. Nobody gives out other tokens. */
const TOKEN = /^[\x21-\x7e]+$/;

const answerSchema = z.object({ user_id: userId, device_id: z.string().min(1).max(ID_CHARS_MAX).optional() });

interface WhoamiOptions {
  /** The base URL of the homeserver. A path stays before the path of the API. */
  readonly base: string;
  /** Called when the homeserver does not answer as it should. */
  readonly onFailed: (error: unknown) => void;
}

export class Whoami {
  readonly #url: URL;
  readonly #onFailed: (error: unknown) => void;
  readonly #known = new LRUCache<string, Device>({ max: ANSWERS_CACHED_MAX, ttl: WHOAMI_CACHE_MS });
  readonly #unknown = new LRUCache<string, true>({ max: ANSWERS_CACHED_MAX, ttl: WHOAMI_CACHE_MS });
  readonly #asked = new Map<string, Promise<Device | undefined>>();
  readonly #unknownOf = new RequestLimit<string>({ max: UNKNOWN_TOKENS_MAX, windowMs: UNKNOWN_TOKENS_WINDOW_MS });

  constructor({ base, onFailed }: WhoamiOptions) {
    const url = new URL(base);
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/${PATH}`;
    url.search = "";
    url.hash = "";
    this.#url = url;
    this.#onFailed = onFailed;
  }

  /**
   * Returns undefined for an unknown token. `ip`: the address that sent it. Rejects with `M_LIMIT_EXCEEDED`, and with 503 when
   * the homeserver does not answer.
   */
  lookup(token: string, ip: string): Device | undefined | Promise<Device | undefined> {
    if (!TOKEN.test(token)) return undefined;
    const digest = digestOf(token);
    const known = this.#known.get(digest);
    if (known !== undefined || this.#unknown.has(digest)) return known;
    const asked = this.#asked.get(digest);
    if (asked !== undefined) return asked;
    const network = networkOf(ip);
    const waitMs = this.#asked.size >= WHOAMI_ASKED_MAX ? RETRY_AFTER_MS : this.#unknownOf.waitMs(network);
    if (waitMs !== undefined) return Promise.reject(tooManyRequests(waitMs));
    const answer = this.#ask(token)
      .then((device) => {
        if (device !== undefined) this.#known.set(digest, device);
        else {
          this.#unknown.set(digest, true);
          this.#unknownOf.take(network);
        }
        return device;
      })
      .finally(() => this.#asked.delete(digest));
    this.#asked.set(digest, answer);
    return answer;
  }

  async #ask(token: string): Promise<Device | undefined> {
    try {
      const response = await fetch(this.#url, {
        headers: { authorization: `Bearer ${token}` },
        redirect: "manual",
        signal: AbortSignal.timeout(WHOAMI_TIMEOUT_MS),
      });
      const text = await bodyOf(response);
      if (response.status === 401 || response.status === 403) return undefined;
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      const { user_id: user, device_id: id } = answerSchema.parse(JSON.parse(text));
      return { user, id };
    } catch (error) {
      this.#onFailed(error);
      throw new MatrixError(503, "M_UNKNOWN", "The homeserver could not check the access token");
    }
  }
}

/** Returns the body as text. Throws when it is larger than such an answer can be, and reads no more of it. */
async function bodyOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > WHOAMI_ANSWER_BYTES_MAX) throw new Error(`its answer is larger than ${WHOAMI_ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
