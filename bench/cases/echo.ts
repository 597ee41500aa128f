/**
 * Bare NATS: single messages to another process and back, with one inbox for all replies and many messages in flight.
 */
import { connect, createInbox } from "nats";
import type { Case, Load } from "../case.ts";
import { receiptsPayload } from "../numbered.ts";
import type { World } from "../world.ts";

const IN_FLIGHT = 8_192;
const LOST_LIMIT_MS = 15_000;

export const echo: Case = {
  id: "echo",
  figures: [{ id: "echo", title: "bare NATS echo", unit: "1/s" }],
  prepare: async ({ url }: World): Promise<Load> => {
    const nc = await connect({ servers: url });
    const payload = receiptsPayload(0, 0, 1);
    const inbox = `${createInbox()}.`;
    let sending = true;
    let sent = 0;
    let answered = 0;
    let allAnswered: (() => void) | undefined;
    const send = () => nc.publish("bench.echo", payload, { reply: inbox + sent++ });
    nc.subscribe(`${inbox}*`, {
      callback: () => {
        answered++;
        if (sending) send();
        else if (answered === sent) allAnswered?.();
      },
    });
    await nc.flush();
    return {
      run: async (seconds) => {
        const started = performance.now();
        while (sent < IN_FLIGHT) send();
        await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
        await new Promise<void>((resolve, reject) => {
          sending = false;
          const lost = () => reject(new Error(`${sent - answered} of ${sent} echoes did not arrive`));
          const timer = setTimeout(lost, LOST_LIMIT_MS);
          allAnswered = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        return { echo: answered / ((performance.now() - started) / 1_000) };
      },
      [Symbol.asyncDispose]: () => nc.close(),
    };
  },
};
