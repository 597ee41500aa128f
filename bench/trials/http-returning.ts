/** A client that returns to a gateway that has just started: in 500 rooms, of which 10 changed meanwhile. */
import { connectBus } from "../../src/bus/client/connection.ts";
import { closeBus } from "../../src/bus/client/gathered-writes.ts";
import {
  bodyOf,
  idle,
  makeRoom,
  nextBatch,
  processorMeter,
  roomOf,
  startGatewayWorld,
} from "../gateway/gateway-world.ts";
import type { Trial } from "../trial.ts";

const ROOMS = { full: 500, quick: 100 };
const CHANGED = 10;
const MEMBERS = 5;
const EVENTS = 20;

export const httpReturning: Trial = {
  id: "http_returning",
  measure: async (context) => {
    const rooms = ROOMS[context.scale];
    await using world = await startGatewayWorld(context, 1);
    const users = Array.from({ length: MEMBERS }, (_, n) => n);
    for (let room = 0; room < rooms; room++) await makeRoom(world.bus, room, users, EVENTS);
    const [before] = await world.clients(1);
    const token = nextBatch(bodyOf(await before!.ask("GET", "/v3/sync")));
    for (let n = 0; n < CHANGED; n++) await world.bus.events.send(roomOf(n), [messageOf(n)]);
    await world.restartGateway();

    await idle(world);
    const nc = await connectBus({ url: world.nats, name: "bench" });
    let asked = 0;
    nc.subscribe("tidemark.query.>", { callback: () => asked++ });
    await nc.flush();
    const [client] = await world.clients(1);
    const since = await processorMeter(world);
    const began = performance.now();
    const body = bodyOf(await client!.ask("GET", `/v3/sync?since=${token}`));
    const ms = performance.now() - began;
    const { broker = 0, worker = 0, gateway = 0 } = await since();
    await nc.flush();
    await closeBus(nc);
    const shown = body.split('"timeline":').length - 1;
    if (shown !== CHANGED) throw new Error(`${shown} rooms are shown, not the ${CHANGED} that changed`);
    const title = `a client of ${rooms} rooms returns, ${CHANGED} changed`;
    const seconds = broker + worker + gateway;
    return [
      { id: "http_returning_queries", title: `${title}: asked of workers`, unit: "questions", values: [asked] },
      { id: "http_returning_cost", title: `${title}: processor time of all processes`, unit: "s", values: [seconds] },
      { id: "http_returning_took", title: `${title}: took`, unit: "ms", values: [ms] },
    ];
  },
};

function messageOf(room: number) {
  return {
    event_id: `$again-${room}`,
    type: "m.room.message",
    sender: "@user-0:bench.example.org",
    origin_server_ts: 2,
    content: { msgtype: "m.text", body: "news" },
  };
}
