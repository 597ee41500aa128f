/** What the proxy costs in front of a live Synapse, in one process with all other roles (docs/homeservers.md#in-front-of-a-homeserver). */
import { matrix } from "../../test/support/live-synapse.ts";
import { ROOT } from "../node-process.ts";
import { compared } from "../proxy/alternating.ts";
import type { Trial } from "../trial.ts";

const SIZES = {
  full: { quietPairs: 500, pairs: 200, receipts: 200 },
  quick: { quietPairs: 100, pairs: 50, receipts: 50 },
} as const;
const ROOMS = 10;
const MESSAGES = 120;
const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;
/** A filter that changes nothing, and is different for each number. */
const unlike = (n: number) => enc(JSON.stringify({ presence: { not_types: [`x${n}`] } }));

export const proxySynapse: Trial = {
  id: "proxy_synapse",
  isOnDemand: true,
  measure: async ({ scale, built }) => {
    const { quietPairs, pairs, receipts } = SIZES[scale];
    if (built) process.env.TIDEMARK_TEST_BUILD = ROOT;
    // It reads at its start where the program is.
    const { startProxiedSynapse } = await import("../../test/support/proxied-synapse.ts");
    await using world = await startProxiedSynapse();
    const { synapse, proxyUrl: proxied } = world;
    const { token } = await synapse.register("alice");
    const ask = (method: string, path: string, body?: unknown) => matrix(proxied, token, method, V3 + path, body);
    const rooms: string[] = [];
    const events: string[] = [];
    for (let n = 0; n < ROOMS; n++) rooms.push((await ask("POST", "/createRoom", {})).room_id);
    const room = enc(rooms[0]!);
    for (let n = 0; n < MESSAGES + receipts * 2; n++) {
      const message = { msgtype: "m.text", body: "a message of a usual length, as people write them" };
      events.push((await ask("PUT", `/rooms/${room}/send/m.room.message/t${n}`, message)).event_id);
    }
    const { next_batch: since } = await ask("GET", "/sync?timeout=0&set_presence=offline");
    const both = { direct: synapse.url, proxied, token };
    const get = (path: string) => () => ({ method: "GET", path: V3 + path }) as const;
    const quiet = "timeout=0&set_presence=offline";
    return [
      ...(await compared(both, {
        id: "proxy_synapse_sync",
        title: "Synapse's /sync without news",
        asked: get(`/sync?${quiet}&since=${since}`),
        pairs: quietPairs,
        // A proxy that has just started runs code that V8 has not optimized.
        warmUpPairs: quietPairs,
        as: "added",
      })),
      ...(await compared(both, {
        id: "proxy_synapse_first",
        title: `Synapse's first /sync of ${ROOMS} rooms`,
        // Synapse keeps an answer for two minutes, by the text of the filter among others.
        asked: (n) => ({ method: "GET", path: `${V3}/sync?${quiet}&filter=${unlike(n)}` }),
        pairs,
        as: "ratio",
      })),
      ...(await compared(both, {
        id: "proxy_synapse_messages",
        title: "Synapse's /messages of 100",
        asked: get(`/rooms/${room}/messages?dir=b&limit=100`),
        pairs,
        warmUpPairs: pairs,
        as: "ratio",
      })),
      ...(await compared(both, {
        id: "proxy_synapse_receipt",
        title: "a receipt to Synapse",
        // Each one moves the marker.
        asked: (n) => ({
          method: "POST",
          path: `${V3}/rooms/${room}/receipt/m.read/${enc(events[n]!)}`,
          body: "{}",
        }),
        pairs: receipts,
        as: "ratio",
      })),
    ];
  },
};
