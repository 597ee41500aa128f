/** Looks up the owner of an access token in a file, or asks a homeserver. */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import { userId } from "../matrix/ids.ts";
import { type Device, digestOf } from "./device.ts";
import { Whoami } from "./whoami.ts";

/** Characters of a device id that the file doesn't give. */
const DEVICE_ID_CHARS = 10;

const device = z.object({ user_id: userId, device_id: z.string().min(1).optional() });
const file = z.record(z.string(), z.unknown());

export type { Device } from "./device.ts";

/**
 * Returns undefined for an unknown token. Returns a promise only if the homeserver has to be asked. `ip`: the address that
 * sent the token.
 */
type TokenLookup = (token: string, ip: string) => Device | undefined | Promise<Device | undefined>;

export interface TokenOptions {
  /** The path of a JSON file: `{ "<token>": { "user_id", "device_id" } }`. */
  readonly users?: string;
  /** The base URL of a homeserver. Its `/account/whoami` is asked about tokens that are not in the file. */
  readonly homeserver?: string;
  /** Called when the homeserver does not answer as it should. */
  readonly onWhoamiFailed?: (error: unknown) => void;
}

export interface Tokens {
  readonly lookup: TokenLookup;
  /** The devices of the file, by the digest of their token; undefined without a file. */
  readonly byDigest: ReadonlyMap<string, Device> | undefined;
}

/** Throws `M_INVALID_PARAM` if the file can't be read or parsed. */
export async function openTokens({ users, homeserver, onWhoamiFailed = () => {} }: TokenOptions): Promise<Tokens> {
  const known = users === undefined ? undefined : await fromFile(users);
  const whoami = homeserver === undefined ? undefined : new Whoami({ base: homeserver, onFailed: onWhoamiFailed });
  return {
    lookup: (token, ip) => known?.get(token) ?? whoami?.lookup(token, ip),
    byDigest: known && new Map(Array.from(known, ([token, device]) => [digestOf(token), device])),
  };
}

async function fromFile(path: string): Promise<Map<string, Device>> {
  // What is wrong is said without the text of the file, which has the tokens.
  const fault = (why: string) => new TidemarkError("M_INVALID_PARAM", `--users ${path}: ${why}`);
  const text = await readFile(path, "utf8").catch((error) => {
    throw fault(reasonOf(error));
  });
  let json: z.infer<typeof file>;
  try {
    json = file.parse(JSON.parse(text));
  } catch {
    throw fault("it is no JSON object");
  }
  const entries = Object.entries(json).map(([token, value], i) => {
    const parsed = device.safeParse(value);
    if (parsed.success) return [token, parsed.data] as const;
    const faults = parsed.error.issues.map(({ path, message }) => [...path, message].join(" "));
    throw fault(`entry ${i + 1}: ${faults.join(", ")}`);
  });
  // Clients don't log in without a device id.
  return new Map(
    entries.map(([token, { user_id: user, device_id }]) => [
      token,
      { user, id: device_id ?? digestOf(token).slice(0, DEVICE_ID_CHARS) },
    ]),
  );
}
