/** A log that a server needs some time to copy. */
import { message, pack, token } from "../support/harness.ts";
import type { Stage } from "./stage.ts";

const ROOM = "!large:a.org";
const EVENTS = 60;
const EVENT_BYTES = 7_000;
const LIMIT_MS = 60_000;
const AT_ONCE = 4;
const MIB = 1_048_576;

/** How much was written, by cluster. */
const written = new WeakMap<Stage["cluster"], number>();

/** Writes events until a log of the cluster is as large as asked for. */
export async function fillLog({ cluster, connections: { homeserver }, logMib }: Stage): Promise<void> {
  let requests = written.get(cluster) ?? 0;
  const wanted = Math.ceil((logMib * MIB) / (EVENTS * EVENT_BYTES));
  const write = async () => {
    while (requests < wanted) {
      const number = requests++;
      const content = { msgtype: "m.text", body: "x".repeat(EVENT_BYTES) };
      const events = Array.from({ length: EVENTS }, (_, i) => message(`$large-${number}-${i}`, { content }));
      await homeserver.request(`tidemark.in.event.${token(ROOM)}`, pack(events), { timeout: LIMIT_MS });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, write));
  written.set(cluster, requests);
}
