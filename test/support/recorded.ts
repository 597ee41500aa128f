/** Sends the recorded session to a running Tidemark. */
import * as assert from "uvu/assert";
import type { TidemarkHarness } from "./harness.ts";
import { session } from "./records.ts";

/** The rooms of the session, the busiest first. */
export const ROOMS = [
  "!QYJBNwAlyGnGMEYrZE:bench.test",
  "!TTowDvuDOdnaEmMDKc:bench.test",
  "!SChKTOmZJzEyTqyaEv:bench.test",
  "!QDKLgqAFoOipdErZYs:bench.test",
] as const;

/** Concurrent requests: some share a record, as on a busy homeserver, others do not. */
const IN_FLIGHT_MAX = 40;

/** Sends everything in order of arrival. */
export async function playSession(tidemark: Pick<TidemarkHarness, "send">): Promise<void> {
  const requests = session();
  for (let from = 0; from < requests.length; from += IN_FLIGHT_MAX) {
    const replies = requests
      .slice(from, from + IN_FLIGHT_MAX)
      .map(({ kind, room, body }) => tidemark.send(kind, room, body));
    for (const reply of await Promise.all(replies)) assert.is(reply.ok, true, JSON.stringify(reply));
  }
}
