/** Lines with points of their own → columns over one common x, as uPlot wants them. */
import type { Line } from "../../replay/history/chart.ts";

export interface SeriesLine extends Line {
  /** The line goes on level up to here; undefined for points. */
  readonly until: number | undefined;
}

export function alignedSeries(lines: readonly SeriesLine[]): (number | null)[][] {
  const xs = new Set<number>();
  for (const { x, until } of lines) {
    for (const value of x) xs.add(value);
    if (until !== undefined && x.length > 0) xs.add(until);
  }
  const common = [...xs].sort((a, b) => a - b);
  const place = new Map(common.map((x, index) => [x, index]));
  const columns = lines.map(({ x, y, until }) => {
    const column: (number | null)[] = new Array(common.length).fill(null);
    // Of several at one x, the last one stands.
    x.forEach((value, i) => {
      column[place.get(value)!] = y[i]!;
    });
    if (until !== undefined && y.length > 0) column[place.get(until)!] ??= y.at(-1)!;
    return column;
  });
  return [common, ...columns];
}
