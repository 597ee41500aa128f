/**
 * The memory of a client that waits in `/sync` while nothing happens: its connection, its user and its poll, and a
 * share of all other memory that the gateway has allocated since it was ready, such as deltas of rooms, compiled code
 * and garbage. So the figure is an upper bound. With more clients it is closer.
 */
import { setTimeout as delay } from "node:timers/promises";
import { firstSyncs, makeRooms, startGatewayWorld } from "../gateway/gateway-world.ts";
import { residentMemory } from "../resident-memory.ts";
import type { Trial } from "../trial.ts";

const PER_ROOM = 10;
const EVENTS = 10;
const SIZES = {
  full: { users: 5_000, settleMs: 20_000 },
  quick: { users: 1_000, settleMs: 1_000 },
} as const;
const TIMEOUT_MS = 120_000;

export const httpPolls: Trial = {
  id: "http_polls",
  measure: async (context) => {
    const { users, settleMs } = SIZES[context.scale];
    await using world = await startGatewayWorld(context, users);
    const before = await residentMemory(world.pids.gateway);
    await makeRooms(world.bus, users / PER_ROOM, PER_ROOM, EVENTS);
    const clients = await world.clients(users);
    const tokens = await firstSyncs(clients);
    for (const [n, client] of clients.entries()) {
      client.ask("GET", `/v3/sync?since=${tokens[n]}&timeout=${TIMEOUT_MS}`).catch(() => {});
    }
    await delay(settleMs);
    const after = await residentMemory(world.pids.gateway);
    const title = `${users.toLocaleString("en")} idle long polls: resident memory of each, at most`;
    const values = [((after.RssAnon - before.RssAnon) * 1_024) / users];
    return [{ id: "http_poll_memory", title, unit: "KiB", values }];
  },
};
