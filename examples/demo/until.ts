import { setTimeout as delay } from "node:timers/promises";

const LIMIT_MS = 10_000;
const POLL_MS = 5;

/** Asks until it is so. Throws when that takes too long; `what` completes "waited in vain until …". */
export async function until(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await delay(POLL_MS);
  }
}
