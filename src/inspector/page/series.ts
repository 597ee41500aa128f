/** Converts lines with separate points into columns with common x values, the format of uPlot. */
import type { Line } from "../../replay/history/chart.ts";

export interface SeriesLine extends Line {
  /** The line continues horizontally up to this x; undefined for single points. */
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
    // Of several points with the same x, the last one is used.
    x.forEach((value, i) => {
      column[place.get(value)!] = y[i]!;
    });
    if (until !== undefined && y.length > 0) column[place.get(until)!] ??= y.at(-1)!;
    return column;
  });
  return [common, ...columns];
}
