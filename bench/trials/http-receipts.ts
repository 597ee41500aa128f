/**
 * Receipts over HTTP, as many as the gateway can handle: every client posts its next receipt when the previous one is
 * answered, which is once the log has stored it. Each receipt advances a marker, and its delta is published. No client
 * waits in `/sync`.
 */
import { costs, makeRooms, processorMeter, receiptPath, startGatewayWorld } from "../gateway/gateway-world.ts";
import { percentile } from "../stats.ts";
import type { Trial } from "../trial.ts";

const SIZES = {
  full: { rooms: 20, perRoom: 10, events: 800, warmUpMs: 2_000, seconds: 8 },
  quick: { rooms: 20, perRoom: 10, events: 400, warmUpMs: 1_000, seconds: 2 },
} as const;

export const httpReceipts: Trial = {
  id: "http_receipts",
  measure: async (context) => {
    const { rooms, perRoom, events, warmUpMs, seconds } = SIZES[context.scale];
    const users = rooms * perRoom;
    await using world = await startGatewayWorld(context, users);
    await makeRooms(world.bus, rooms, perRoom, events);
    const clients = await world.clients(users);
    const paths = Array.from({ length: rooms }, (_, room) =>
      Array.from({ length: events }, (_, event) => receiptPath(room, event)),
    );
    const turns = new Array<number>(users).fill(0);
    const times: number[] = [];
    const post = async (until: number) => {
      await Promise.all(
        clients.map(async (client, n) => {
          const own = paths[Math.floor(n / perRoom)]!;
          for (let began = performance.now(); began < until; ) {
            const { status, body } = await client.ask("POST", own[turns[n]!++ % events]!, "{}");
            if (status !== 200) throw new Error(`a receipt was refused: ${status} ${body}`);
            const now = performance.now();
            times.push(now - began);
            began = now;
          }
        }),
      );
    };
    await post(performance.now() + warmUpMs);
    times.length = 0;
    const spent = await processorMeter(world);
    const began = performance.now();
    await post(began + seconds * 1_000);
    const elapsed = (performance.now() - began) / 1_000;
    const processor = await spent();
    const sorted = Float64Array.from(times).sort();
    const title = `receipts over HTTP, ${users} clients in ${rooms} rooms`;
    return [
      {
        id: "http_receipts",
        title: `${title}, stored before the answer`,
        unit: "1/s",
        values: [times.length / elapsed],
      },
      { id: "http_receipts_p50", title: `${title}: answer, p50`, unit: "ms", values: [percentile(sorted, 50)] },
      { id: "http_receipts_p99", title: `${title}: answer, p99`, unit: "ms", values: [percentile(sorted, 99)] },
      ...costs("http_receipts", "one receipt over HTTP", processor, times.length),
    ];
  },
};
