/** What a client costs that waits in `/sync`, and for whom nothing happens: its connection, its user and its poll. */
import { setTimeout as delay } from "node:timers/promises";
import { firstSyncs, makeRooms, startGatewayWorld } from "../gateway/gateway-world.ts";
import type { RawClient } from "../gateway/raw-client.ts";
import { residentMemory } from "../resident-memory.ts";
import type { Trial } from "../trial.ts";

const PER_ROOM = 10;
const EVENTS = 10;
const SIZES = {
  full: { users: 5_000, settleMs: 5_000 },
  quick: { users: 1_000, settleMs: 500 },
} as const;
/** They come first, so that what is compiled and allocated once is not counted. */
const FIRST = 500;
const TIMEOUT_MS = 120_000;

export const httpPolls: Trial = {
  id: "http_polls",
  measure: async (context) => {
    const { users, settleMs } = SIZES[context.scale];
    await using world = await startGatewayWorld(context, users);
    await makeRooms(world.bus, users / PER_ROOM, PER_ROOM, EVENTS);
    const clients = await world.clients(users);
    await wait(clients.slice(0, FIRST));
    await delay(settleMs);
    const before = await residentMemory(world.pids.gateway);
    await wait(clients.slice(FIRST));
    await delay(settleMs);
    const after = await residentMemory(world.pids.gateway);
    const title = `${(users - FIRST).toLocaleString("en")} idle long polls`;
    return [
      {
        id: "http_poll_memory",
        title: `${title}: resident memory of each`,
        unit: "KiB",
        values: [((after.RssAnon - before.RssAnon) * 1_024) / (users - FIRST)],
      },
    ];
  },
};

/** Each has synced once, and waits for more. */
async function wait(clients: readonly RawClient[]): Promise<void> {
  const tokens = await firstSyncs(clients);
  for (const [n, client] of clients.entries()) {
    client.ask("GET", `/v3/sync?since=${tokens[n]}&timeout=${TIMEOUT_MS}`).catch(() => {});
  }
}
