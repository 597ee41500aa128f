/** The first `/sync` in a room of 100,000 members, each with a receipt: the processor time of all processes. */
import { bodyOf, idle, makeRoom, processorMeter, readByMany, startGatewayWorld } from "../gateway/gateway-world.ts";
import { type Trial, trialOfSizes } from "../trial.ts";

const EVENTS = 100;

export const httpLargeRoom: Trial = trialOfSizes(
  "http_large_room",
  { full: [10_000, 100_000], quick: [1_000, 10_000] },
  async (members, context) => {
    await using world = await startGatewayWorld(context, 1);
    await makeRoom(
      world.bus,
      0,
      Array.from({ length: members }, (_, n) => n),
      EVENTS,
    );
    await readByMany(world.bus, members, EVENTS);
    // What the gateway knows of the room from its deltas, a new one doesn't.
    await world.restartGateway();
    await idle(world);
    const [client] = await world.clients(1);
    const since = await processorMeter(world);
    const began = performance.now();
    const body = bodyOf(await client!.ask("GET", "/v3/sync"));
    const ms = performance.now() - began;
    const { broker = 0, worker = 0, gateway = 0 } = await since();
    const members_ = members.toLocaleString("en");
    const shown = body.split('"membership":"join"').length - 1;
    if (shown < members) throw new Error(`${shown} of ${members_} members are shown`);
    const of = `first /sync in a room of ${members_} members`;
    const id = `http_large_room_${members}`;
    return [
      { id, title: `${of}: processor time of all processes`, unit: "s", values: [broker + worker + gateway] },
      { id: `${id}_worker`, title: `${of}: the worker's`, unit: "s", values: [worker] },
      { id: `${id}_gateway`, title: `${of}: the gateway's`, unit: "s", values: [gateway] },
      { id: `${id}_took`, title: `${of}: took`, unit: "ms", values: [ms] },
      { id: `${id}_size`, title: `${of}: size`, unit: "KiB", values: [body.length / 1_024] },
    ];
  },
);
