/** Who an access token belongs to: as a file says, or as a homeserver does. */
import { readFile } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import { MatrixError } from "../http/matrix-error.ts";
import { ACCESS_TOKENS_CACHED_MAX, WHOAMI_CACHE_MS, WHOAMI_TIMEOUT_MS } from "../limits.ts";
import { type UserId, userId } from "../matrix/ids.ts";

const device = z.object({ user_id: userId, device_id: z.string().min(1).optional() });

/** The device that a request comes from. */
export interface Device {
  readonly user: UserId;
  readonly id: string | undefined;
}

/** undefined for a token that nobody has. A promise only where somebody has to be asked. */
export type Tokens = (token: string) => Device | undefined | Promise<Device | undefined>;

export interface TokenOptions {
  /** A JSON file: `{ "<token>": { "user_id", "device_id" } }`. */
  readonly users?: string;
  /** The base URL of a homeserver, which is asked about tokens that the file doesn't have. */
  readonly whoami?: string;
}

/** Throws when the file can't be used. */
export async function accessTokens({ users, whoami }: TokenOptions): Promise<Tokens> {
  const known = users === undefined ? new Map<string, Device>() : await fromFile(users);
  const ask = whoami === undefined ? undefined : fromHomeserver(whoami);
  return (token) => known.get(token) ?? ask?.(token);
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
  return new Map(entries.map(([token, { user_id: user, device_id: id }]) => [token, { user, id }]));
}

/** Asks once for each token and `WHOAMI_CACHE_MS`, whether the token is known or not. */
function fromHomeserver(base: string): Tokens {
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
      const { user_id: user, device_id: id } = device.parse(await response.json());
      return { device: { user, id } };
    },
  });
  return async (token) => {
    try {
      return (await cache.fetch(token))?.device;
    } catch (error) {
      throw new MatrixError(503, "M_UNKNOWN", `The homeserver did not say whose token this is: ${reasonOf(error)}`);
    }
  };
}
