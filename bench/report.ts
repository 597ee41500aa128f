/** The report for a person. */
import type { Machine } from "./machine.ts";
import type { Result } from "./results.ts";

export interface Report {
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly results: readonly Result[];
  readonly busyCores: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function table({ machine, rounds, seconds, results, busyCores }: Report): string {
  const { cpu, cores, memoryGiB, node, natsServer } = machine;
  const width = Math.max(...results.map(({ title }) => title.length));
  const lines = [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB; Node ${node}, nats-server ${natsServer}`,
    `median (least – most) of ${rounds} rounds of ${seconds} s`,
    "",
    ...results.map((result) => line(result, width)),
    "",
    "cores kept busy:",
    ...Object.entries(busyCores).map(([id, cores]) => {
      const shares = Object.entries(cores).map(([process, busy]) => `${process} ${busy.toFixed(2)}`);
      return `  ${id.padEnd(10)} ${shares.join("  ")}`;
    }),
  ];
  return `${lines.join("\n")}\n`;
}

function line({ title, unit, median, min, max, target, met }: Result, width: number): string {
  const digits = unit === "1/s" ? 0 : 2;
  const number = (value: number) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const value = `${number(median)} ${unit}`.padStart(14);
  const spread = `(${number(min)} – ${number(max)})`;
  const goal = target === undefined ? "" : `${met ? "met" : "MISSED"}: ${target}`;
  return `${title.padEnd(width)} ${value}  ${spread.padEnd(22)} ${goal}`.trimEnd();
}
