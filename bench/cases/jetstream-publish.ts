/** Bare JetStream: `js.publish` of single messages, as its users call it, with many messages in flight. */
import { connect } from "nats";
import type { Case, Load } from "../case.ts";
import { receiptsPayload } from "../numbered.ts";
import type { World } from "../world.ts";

const IN_FLIGHT = 1_024;
const STREAM = "BENCH";

export const jetstreamPublish: Case = {
  id: "jetstream",
  figures: [{ id: "jetstream", title: "bare JetStream publish", unit: "1/s" }],
  prepare: async ({ url }: World): Promise<Load> => {
    const nc = await connect({ servers: url });
    const manager = await nc.jetstreamManager();
    await manager.streams.add({ name: STREAM, subjects: ["bench.stream"] });
    const js = nc.jetstream();
    const payload = receiptsPayload(0, 0, 1);
    return {
      run: async (seconds) => {
        const started = performance.now();
        let count = 0;
        const publisher = async () => {
          while (performance.now() - started < seconds * 1_000) {
            await js.publish("bench.stream", payload);
            count++;
          }
        };
        await Promise.all(Array.from({ length: IN_FLIGHT }, publisher));
        return { jetstream: count / ((performance.now() - started) / 1_000) };
      },
      [Symbol.asyncDispose]: async () => {
        await manager.streams.delete(STREAM);
        await nc.close();
      },
    };
  },
};
