/** The registration with which a homeserver pushes to Tidemark (Matrix specification, application service API). */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parse, stringify, YAMLError } from "yaml";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import { type ServerName, serverName } from "../matrix/ids.ts";

interface RegistrationOptions {
  readonly id: string;
  /** The URL of Tidemark, as the homeserver reaches it. */
  readonly url: string;
  readonly serverNames: readonly ServerName[];
  readonly senderLocalpart: string;
  /** Whether Tidemark may act as local users. If not, it has their events and receipts all the same. */
  readonly actsAsUsers: boolean;
}

/** Not a part of the specification: homeservers ignore it. */
const SERVER_NAMES_KEY = "tidemark.server_names";

const TOKEN_BYTES = 32;

/** Returns a new registration with random tokens, as YAML. */
export function newRegistration({ id, url, serverNames, senderLocalpart, actsAsUsers }: RegistrationOptions): string {
  const users = actsAsUsers ? serverNames : [];
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
      users: users.map((name) => ({ exclusive: false, regex: `@.*:${name.replace(/[.[\]]/g, "\\$&")}` })),
      rooms: [{ exclusive: false, regex: "!.*" }],
      aliases: [],
    },
    [SERVER_NAMES_KEY]: serverNames,
  });
}

/** What of a registration Tidemark needs. */
export interface Registration {
  readonly id: string;
  /** The token with which Tidemark authenticates itself. */
  readonly asToken: string;
  /** The token with which the homeserver authenticates itself. */
  readonly hsToken: string;
  /** Whether Tidemark may act as users at all. */
  readonly actsAsUsers: boolean;
  /** Whose users are local; empty if the file doesn't say it. */
  readonly serverNames: readonly ServerName[];
}

const text = z.string({ error: "is missing" }).min(1, { error: "is empty" });
const registration = z
  .object({
    id: text,
    as_token: text,
    hs_token: text,
    namespaces: z.object({ users: z.array(z.unknown()).nullish() }).nullish(),
    [SERVER_NAMES_KEY]: z.array(serverName).default([]),
  })
  .transform(
    ({ id, as_token: asToken, hs_token: hsToken, namespaces, [SERVER_NAMES_KEY]: serverNames }): Registration => ({
      id,
      asToken,
      hsToken,
      actsAsUsers: (namespaces?.users ?? []).length > 0,
      serverNames,
    }),
  );

/** Throws `M_INVALID_PARAM` with the reason. */
export async function readRegistration(path: string): Promise<Registration> {
  try {
    // Its warnings show the text.
    return registration.parse(parse(await readFile(path, "utf8"), { logLevel: "error" }));
  } catch (cause) {
    const why = whyUnreadable(cause);
    throw new TidemarkError("M_INVALID_PARAM", `the registration ${path} can't be read: ${why}`, { cause });
  }
}

/** Without the text of the file, which has tokens: the errors of YAML show it. */
function whyUnreadable(cause: unknown): string {
  if (cause instanceof z.ZodError) return faultsOf(cause);
  if (cause instanceof YAMLError) return `it is no YAML from line ${cause.linePos?.[0].line ?? "?"} on (${cause.code})`;
  return cause instanceof Error && "code" in cause ? reasonOf(cause) : "it is no YAML";
}

function faultsOf({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => [...path, message].join(" ")).join(", ");
}
