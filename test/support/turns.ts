/** Turns of the event loop: what is done in slices lets others have a turn in between. */

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
