/** Receipts through all of Tidemark, as many as it can handle: sent, stored, answered, folded, and shown in a delta. */
import type { Case, Load } from "../case.ts";
import { ReceiptLoad } from "../receipt-load.ts";
import type { World } from "../world.ts";

interface ReceiptsOptions {
  readonly id: string;
  readonly perMessage: number;
  /** The maximum number of messages in flight. */
  readonly inFlight: number;
}

const SIZE = { rooms: 200, events: 200, users: 128 };

export function receipts({ id, perMessage, inFlight }: ReceiptsOptions): Case {
  const title = perMessage === 1 ? "Tidemark, single receipts" : `Tidemark, ${perMessage} receipts a message`;
  return {
    id,
    figures: [{ id, title, unit: "1/s" }],
    prepare: async ({ url }: World): Promise<Load> => {
      let sending = true;
      const fill = () => {
        while (sending && load.inFlight < inFlight && load.send());
      };
      const load = await ReceiptLoad.open({ url, size: SIZE, perMessage, onDone: fill });
      return {
        run: async (seconds) => {
          const started = performance.now();
          fill();
          await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
          sending = false;
          await load.settled();
          return { [id]: (load.done * perMessage) / ((performance.now() - started) / 1_000) };
        },
        [Symbol.asyncDispose]: () => load[Symbol.asyncDispose](),
      };
    },
  };
}
