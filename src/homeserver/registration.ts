/** The registration with which a homeserver pushes to Tidemark (Matrix specification, application service API). */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parse, stringify } from "yaml";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import type { ServerName } from "../matrix/ids.ts";

interface RegistrationOptions {
  readonly id: string;
  /** The URL of the gateway, as the homeserver reaches it. */
  readonly url: string;
  readonly serverNames: readonly ServerName[];
  readonly senderLocalpart: string;
}

const TOKEN_BYTES = 32;

/** Returns a new registration with random tokens, as YAML. */
export function newRegistration({ id, url, serverNames, senderLocalpart }: RegistrationOptions): string {
  const token = () => randomBytes(TOKEN_BYTES).toString("hex");
  return stringify({
    id,
    url,
    as_token: token(),
    hs_token: token(),
    sender_localpart: senderLocalpart,
    rate_limited: false,
    // Pushes receipts too. The first key is the specification's, the second its unstable predecessor.
    receive_ephemeral: true,
    "de.sorunome.msc2409.push_ephemeral": true,
    namespaces: {
      // Tidemark is interested in all users and rooms, and claims none of them.
      users: serverNames.map((name) => ({ exclusive: false, regex: `@.*:${name.replace(/[.[\]]/g, "\\$&")}` })),
      rooms: [{ exclusive: false, regex: "!.*" }],
      aliases: [],
    },
  });
}

const registration = z.object({ hs_token: z.string().min(1) });

/** Reads the token with which the homeserver authenticates itself. Throws `M_INVALID_PARAM` with the reason. */
export async function readHsToken(path: string): Promise<string> {
  try {
    return registration.parse(parse(await readFile(path, "utf8"))).hs_token;
  } catch (cause) {
    const why = cause instanceof z.ZodError ? "it has no hs_token" : reasonOf(cause);
    throw new TidemarkError("M_INVALID_PARAM", `the registration ${path} can't be read: ${why}`, { cause });
  }
}
