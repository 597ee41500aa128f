/** Turns of the event loop: what is done in slices lets others have a turn in between. */
import { Stopwatch } from "./stopwatch.ts";

/** Counts the turns that others get until a promise resolves. */
export async function turnsDuring<T>(run: () => Promise<T>): Promise<{ readonly result: T; readonly turns: number }> {
  let turns = 0;
  let counted: NodeJS.Immediate | undefined;
  const count = () => {
    turns++;
    counted = setImmediate(count);
  };
  counted = setImmediate(count);
  try {
    return { result: await run(), turns };
  } finally {
    clearImmediate(counted);
  }
}

/** Measures the longest turn until a promise resolves. */
export async function longestTurnDuring<T>(
  run: () => Promise<T>,
): Promise<{ readonly result: T; readonly ms: number }> {
  let longestMs = 0;
  let turn = new Stopwatch();
  let measured: NodeJS.Immediate | undefined;
  const measure = () => {
    longestMs = Math.max(longestMs, turn.ms);
    turn = new Stopwatch();
    measured = setImmediate(measure);
  };
  measured = setImmediate(measure);
  try {
    return { result: await run(), ms: Math.max(longestMs, turn.ms) };
  } finally {
    clearImmediate(measured);
  }
}
