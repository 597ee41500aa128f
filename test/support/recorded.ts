/** The recorded session, played to a running Tidemark. */
import * as assert from "uvu/assert";
import type { TidemarkHarness } from "./harness.ts";
import { session } from "./records.ts";

/** The busiest of its four rooms comes first. */
export const ROOMS = [
  "!QYJBNwAlyGnGMEYrZE:bench.test",
  "!TTowDvuDOdnaEmMDKc:bench.test",
  "!SChKTOmZJzEyTqyaEv:bench.test",
  "!QDKLgqAFoOipdErZYs:bench.test",
] as const;

/** Requests on their way at once: some share a record, as in a busy homeserver, and others don't. */
const ON_THE_WAY_MAX = 40;

/** Sends all of it in order of arrival. */
export async function playSession(tidemark: Pick<TidemarkHarness, "send">): Promise<void> {
  const requests = session();
  for (let from = 0; from < requests.length; from += ON_THE_WAY_MAX) {
    const replies = requests
      .slice(from, from + ON_THE_WAY_MAX)
      .map(({ kind, room, body }) => tidemark.send(kind, room, body));
    for (const reply of await Promise.all(replies)) assert.is(reply.ok, true, JSON.stringify(reply));
  }
}
