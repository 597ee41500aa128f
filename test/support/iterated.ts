/** Iterates in the background: the names of what came so far, and a promise for the end of the iteration. */
export function iterated<T>(changes: AsyncIterable<T>, nameOf: (change: T) => string) {
  const seen: string[] = [];
  const ended = (async () => {
    for await (const change of changes) seen.push(nameOf(change));
  })();
  return { seen, ended };
}
