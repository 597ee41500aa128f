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

/** Sends all of it in order of arrival, without a wait for each reply. */
export async function playSession(tidemark: Pick<TidemarkHarness, "send">): Promise<void> {
  const replies = session().map(({ inlet, room, body }) => tidemark.send(inlet, room, body));
  for (const reply of await Promise.all(replies)) assert.is(reply.ok, true, JSON.stringify(reply));
}
