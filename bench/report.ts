/** The report: for a terminal, and as the full table of bench/NOTES.md. */
import type { Machine } from "./machine.ts";
import type { Result } from "./results.ts";
import type { Scale } from "./trial.ts";

export interface Report {
  readonly machine: Machine;
  readonly scale: Scale;
  readonly rounds: number;
  readonly seconds: number;
  readonly results: readonly Result[];
  readonly busyCores: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function table(report: Report): string {
  const { results, busyCores } = report;
  const width = Math.max(...results.map(({ title }) => title.length));
  const lines = [...conditions(report), "", ...results.map((result) => line(result, width))];
  if (Object.keys(busyCores).length > 0) lines.push("", "cores kept busy:");
  for (const [id, cores] of Object.entries(busyCores)) {
    const shares = Object.entries(cores).map(([process, busy]) => `${process} ${busy.toFixed(2)}`);
    lines.push(`  ${id.padEnd(10)} ${shares.join("  ")}`);
  }
  return `${lines.join("\n")}\n`;
}

export function markdown(report: Report): string {
  const rows = report.results.map((result) => {
    const { title, unit, target = "", met } = result;
    const value = target === "" || met ? number(result, "median") : `**${number(result, "median")}**`;
    return `| ${title} | ${value} ${unit} | ${number(result, "min")} – ${number(result, "max")} | ${target} |`;
  });
  const head = ["| figure | median | least – most | target |", "| --- | ---: | ---: | --- |"];
  return `${[...conditions(report), "", ...head, ...rows].join("\n")}\n`;
}

function conditions({ machine, scale, rounds, seconds }: Report): string[] {
  const { cpu, cores, memoryGiB, node, natsServer } = machine;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB; Node ${node}, nats-server ${natsServer}`,
    `median (least – most) of ${rounds} rounds of ${seconds} s, and of the repetitions of each trial (${scale} sizes)`,
  ];
}

function line(result: Result, width: number): string {
  const { title, unit, target, met } = result;
  const value = `${number(result, "median")} ${unit}`.padStart(14);
  const spread = `(${number(result, "min")} – ${number(result, "max")})`;
  const goal = target === undefined ? "" : `${met ? "met" : "MISSED"}: ${target}`;
  return `${title.padEnd(width)} ${value}  ${spread.padEnd(22)} ${goal}`.trimEnd();
}

function number({ unit, ...values }: Result, which: "median" | "min" | "max"): string {
  const digits = unit === "1/s" ? 0 : unit === "MiB" || unit === "KiB" ? 1 : 2;
  return values[which].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
