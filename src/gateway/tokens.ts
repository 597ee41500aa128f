/** Looks up the owner of an access token in a file, or asks a homeserver. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import { MatrixError } from "../http/matrix-error.ts";
import { WHOAMI_CACHE_MS, WHOAMI_TIMEOUT_MS } from "../limits.ts";
import { type UserId, userId } from "../matrix/ids.ts";

/** Access tokens whose user is cached. */
const ACCESS_TOKENS_CACHED_MAX = 10_000;

/** Characters of a device id that the file doesn't give. */
const DEVICE_ID_CHARS = 10;

const device = z.object({ user_id: userId, device_id: z.string().min(1).optional() });

/** The device that a request comes from. */
export interface Device {
  readonly user: UserId;
  readonly id: string | undefined;
}

/** Returns undefined for an unknown token. Returns a promise only if the homeserver has to be asked. */
type TokenLookup = (token: string) => Device | undefined | Promise<Device | undefined>;

export interface TokenOptions {
  /** The path of a JSON file: `{ "<token>": { "user_id", "device_id" } }`. */
  readonly users?: string;
  /** The base URL of a homeserver. Its `/account/whoami` is asked about tokens that are not in the file. */
  readonly whoami?: string;
}

export interface Tokens {
  readonly lookup: TokenLookup;
  /** The devices of the file, by the digest of their token; undefined without a file. */
  readonly byDigest: ReadonlyMap<string, Device> | undefined;
}

/** Throws `M_INVALID_PARAM` if the file can't be read or parsed. */
export async function openTokens({ users, whoami }: TokenOptions): Promise<Tokens> {
  const known = users === undefined ? undefined : await fromFile(users);
  const ask = whoami === undefined ? undefined : fromHomeserver(whoami);
  return {
    lookup: (token) => known?.get(token) ?? ask?.(token),
    byDigest: known && new Map(Array.from(known, ([token, device]) => [digestOf(token), device])),
  };
}

/** A secret is found by its digest: how long that takes says nothing about the secret. */
export function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64url");
}

async function fromFile(path: string): Promise<Map<string, Device>> {
  let entries: [string, z.infer<typeof device>][];
  try {
    const json: unknown = JSON.parse(await readFile(path, "utf8"));
    entries = Object.entries(z.record(z.string(), device).parse(json));
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : reasonOf(cause);
    throw new TidemarkError("M_INVALID_PARAM", `--users ${path}: ${why}`, { cause });
  }
  // Clients don't log in without a device id.
  return new Map(
    entries.map(([token, { user_id: user, device_id }]) => [
      token,
      { user, id: device_id ?? digestOf(token).slice(0, DEVICE_ID_CHARS) },
    ]),
  );
}

/** Answers are cached for `WHOAMI_CACHE_MS`, also those for unknown tokens. */
function fromHomeserver(base: string): TokenLookup {
  const url = new URL("/_matrix/client/v3/account/whoami", base);
  const cache = new LRUCache<string, { readonly device: Device | undefined }>({
    max: ACCESS_TOKENS_CACHED_MAX,
    ttl: WHOAMI_CACHE_MS,
    fetchMethod: async (token) => {
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(WHOAMI_TIMEOUT_MS),
      });
      if (response.status === 401 || response.status === 403) return { device: undefined };
      const answer = device.safeParse(await response.json());
      if (!answer.success) throw new Error("its answer names no user");
      const { user_id: user, device_id: id } = answer.data;
      return { device: { user, id } };
    },
  });
  return async (token) => {
    try {
      return (await cache.fetch(token))?.device;
    } catch (error) {
      throw new MatrixError(503, "M_UNKNOWN", `The homeserver could not check the access token: ${reasonOf(error)}`);
    }
  };
}
