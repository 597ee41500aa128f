/**
 * Loaded into a process under test before anything else (`NODE_OPTIONS`): its clock is wrong by as many ms as a file says. Timers and
 * `performance.now()` don't follow it, as with a system clock that somebody sets.
 */
import { readFileSync } from "node:fs";

const READ_MS = 100;
const FILE = process.env.CLOCK_FILE;

let aheadMs = 0;

function read(file: string): void {
  try {
    aheadMs = Number(readFileSync(file, "utf8"));
  } catch {
    aheadMs = 0; // Nobody has set it.
  }
}

if (FILE !== undefined) {
  const Right = Date;
  const shifted = () => Right.now() + aheadMs;
  globalThis.Date = new Proxy(Right, {
    apply: () => new Right(shifted()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [shifted()] : args, newTarget),
    get: (target, key) => (key === "now" ? shifted : Reflect.get(target, key)),
  });
  read(FILE);
  setInterval(() => read(FILE), READ_MS).unref();
}
