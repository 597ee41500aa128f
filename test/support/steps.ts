/**
 * How much work code does, counted: steps are executions of blocks of the project's own code. Unlike times, they never differ.
 *
 * V8 counts in functions that it compiles while it counts. So counting begins when this file is imported, and never ends.
 */
import { Session } from "node:inspector/promises";

const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

/** Returns how many steps the files of a folder make while `run` runs. `folder`: a part of their paths, such as `/actors/`. */
export async function stepsIn(folder: string, run: () => void): Promise<number> {
  await session.post("Profiler.takePreciseCoverage"); // counts begin at 0 again
  run();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  let steps = 0;
  for (const { url, functions } of result) {
    if (!url.includes(folder)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) steps += count;
  }
  return steps;
}
