/** The first `/sync` of a user who is in one room, with 10,000 markers. */
import { bodyOf, makeRoom, nextBatch, readByMany, startGatewayWorld } from "../gateway/gateway-world.ts";
import type { RawClient } from "../gateway/raw-client.ts";
import { percentile } from "../stats.ts";
import type { Trial } from "../trial.ts";

const EVENTS = 100;
const MARKERS = 10_000;
const REPETITIONS = { full: 50, quick: 10 };
const SHOWN_MS_MAX = 10_000;

export const httpSync: Trial = {
  id: "http_sync",
  measure: async (context) => {
    await using world = await startGatewayWorld(context, 1);
    await makeRoom(world.bus, 0, [0], EVENTS);
    await readByMany(world.bus, MARKERS, EVENTS);
    const [client] = await world.clients(1);
    await allShown(client!);
    const times: number[] = [];
    let body = "";
    for (let n = 0; n < REPETITIONS[context.scale]; n++) {
      const began = performance.now();
      body = bodyOf(await client!.ask("GET", "/v3/sync"));
      times.push(performance.now() - began);
    }
    const sorted = Float64Array.from(times).sort();
    const title = `first /sync of a room with ${MARKERS.toLocaleString("en")} markers`;
    return [
      { id: "http_sync_p50", title: `${title}, p50`, unit: "ms", values: [percentile(sorted, 50)] },
      { id: "http_sync_p99", title: `${title}, p99`, unit: "ms", values: [percentile(sorted, 99)] },
      { id: "http_sync_size", title: `${title}: size`, unit: "KiB", values: [body.length / 1_024] },
    ];
  },
};

async function allShown(client: RawClient): Promise<void> {
  const deadline = performance.now() + SHOWN_MS_MAX;
  let since = "";
  for (let shown = 0; shown < MARKERS; ) {
    if (performance.now() > deadline) throw new Error(`${shown} of ${MARKERS} markers are shown`);
    const body = bodyOf(await client.ask("GET", `/v3/sync${since === "" ? "" : `?since=${since}&timeout=1000`}`));
    since = nextBatch(body);
    shown += body.split('"m.read":').length > 1 ? (body.match(/"@user-\d+:[^"]*":\{"ts"/g)?.length ?? 0) : 0;
  }
}
