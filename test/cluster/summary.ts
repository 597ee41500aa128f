/** How long partitions were silent, and by which fault, as a table. */
import { FAULTS } from "./faults.ts";
import type { Injected } from "./history.ts";
import { promisedFor } from "./promises.ts";
import { medianOf, tableOf } from "./table.ts";

const seconds = (ms: number) => (ms / 1_000).toFixed(1);

/** Returns the lines of a table: a row for each fault that was injected, and one for all. */
export function summary(injected: readonly Injected[]): string[] {
  const rows = [
    [
      "seconds of silence",
      "injected",
      "published p50",
      "max",
      "for front-ends p50",
      "max",
      "promises kept",
      "recovery max",
    ],
    ...Object.keys(FAULTS)
      .map((name) => injected.filter((each) => each.name === name))
      .filter((ones) => ones.length > 0)
      .map((ones) => rowOf(ones[0]!.name, ones)),
    ...(injected.length > 0 ? [rowOf("all", injected)] : []),
  ];
  return tableOf(rows);
}

function rowOf(name: string, ones: readonly Injected[]): string[] {
  const published = ones.map((each) => each.published.silentMs);
  const read = ones.map((each) => each.read.silentMs);
  const kept = ones.filter((one) => {
    const promised = promisedFor(FAULTS[one.name]!.promise, one.faultMs);
    return one.published.silentMs <= promised.publishedMs && one.read.silentMs <= promised.readMs;
  });
  return [
    name,
    `${ones.length}`,
    seconds(medianOf(published)),
    seconds(Math.max(...published)),
    seconds(medianOf(read)),
    seconds(Math.max(...read)),
    `${kept.length} of ${ones.length}`,
    seconds(Math.max(...ones.map(({ recoveryMs }) => recoveryMs))),
  ];
}
