import { setTimeout as delay } from "node:timers/promises";

const LIMIT_MS = 10_000;
const POLL_MS = 5;

/** Polls until `ask` returns true. Throws after 10 s; `what` completes "waited in vain until …". */
export async function until(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await delay(POLL_MS);
  }
}
