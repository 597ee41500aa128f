/** The results of all rounds: medians and spreads, ratios within a round, and a comparison with the targets. */
import type { Case } from "./case.ts";
import { type Summary, summary } from "./stats.ts";
import type { Measured } from "./trial.ts";

/** One round: the value of each figure, and how many cores each process used, by case. */
export interface Round {
  readonly values: Readonly<Record<string, number>>;
  readonly cores: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Result extends Summary {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly target?: string;
  readonly met?: boolean;
}

interface Target {
  readonly id: string;
  readonly min?: number;
  readonly max?: number;
}

/** Ratios of two figures of the same round, so that a slow moment of the machine does not distort them. */
const RATIOS = [
  { id: "single_to_echo", title: "single receipts : bare NATS echo", of: "single", to: "echo" },
  { id: "single_to_jetstream", title: "single receipts : bare JetStream publish", of: "single", to: "jetstream" },
  { id: "batch_to_echo", title: "64 receipts a message : bare NATS echo", of: "batch", to: "echo" },
] as const;

/** The processor time per receipt. It depends less than a rate on what else the machine does. */
const COSTS = [
  { id: "single_cost", title: "Tidemark's processor time, single receipts", of: "single" },
  { id: "batch_cost", title: "Tidemark's processor time, 64 receipts a message", of: "batch" },
] as const;

const TARGETS: readonly Target[] = [
  { id: "single_to_echo", min: 0.5 },
  { id: "single_to_jetstream", min: 2 },
  { id: "batch", min: 300_000 },
  { id: "latency_p50", max: 5 },
  { id: "latency_p99", max: 25 },
  { id: "fold", min: 1_000_000 },
  { id: "replay", min: 300_000 },
  { id: "restart_10000000", max: 2 },
  { id: "activation_100_p99", max: 2 },
  { id: "memory_1000000_VmRSS", max: 512 },
  { id: "delta_100000_to_100", max: 1.5 },
  { id: "delta_stored_100000_to_100", max: 1.5 },
  { id: "http_receipts", min: 5_000 },
  { id: "http_load_p99", max: 100 },
  { id: "proxy_sync_added", max: 1.5 },
  { id: "proxy_stream", min: 0.7 },
  { id: "proxy_polls", max: 60 },
  { id: "proxy_synapse_sync_added", max: 1.5 },
  { id: "proxy_synapse_first_ratio", max: 1.15 },
  { id: "proxy_synapse_messages_ratio", max: 1.15 },
  { id: "proxy_synapse_receipt_ratio", max: 1.6 },
];

export function results(cases: readonly Case[], rounds: readonly Round[]): Result[] {
  const ran = new Set(rounds.flatMap(({ values }) => Object.keys(values)));
  const figures = cases.flatMap(({ figures }) =>
    figures.map(({ id, title, unit }) =>
      result(
        { id, title, unit },
        rounds.map(({ values }) => values[id]!),
      ),
    ),
  );
  const ratios = RATIOS.filter(({ of, to }) => ran.has(of) && ran.has(to)).map(({ id, title, of, to }) =>
    result(
      { id, title, unit: "×" },
      rounds.map(({ values }) => values[of]! / values[to]!),
    ),
  );
  const costs = COSTS.filter(({ of }) => ran.has(of)).map(({ id, title, of }) =>
    result(
      { id, title, unit: "µs" },
      rounds.map(({ values, cores }) => ((cores[of]!.tidemark ?? Number.NaN) * 1e6) / values[of]!),
    ),
  );
  return [...figures, ...ratios, ...costs];
}

export function trialResults(measured: readonly Measured[]): Result[] {
  return measured.map(({ id, title, unit, values }) => result({ id, title, unit }, values));
}

function result(figure: Pick<Result, "id" | "title" | "unit">, values: readonly number[]): Result {
  const all = { ...figure, ...summary(values) };
  const target = TARGETS.find(({ id }) => id === figure.id);
  if (target?.min !== undefined) return { ...all, target: `≥ ${target.min}`, met: all.median >= target.min };
  if (target?.max !== undefined) return { ...all, target: `≤ ${target.max}`, met: all.median <= target.max };
  return all;
}

/** How many cores each process used during a case: medians, by case and process. */
export function busyCores(cases: readonly Case[], rounds: readonly Round[]): Record<string, Record<string, number>> {
  return Object.fromEntries(
    cases.map(({ id }) => {
      const names = Object.keys(rounds[0]!.cores[id]!);
      return [
        id,
        Object.fromEntries(names.map((name) => [name, median(rounds.map(({ cores }) => cores[id]![name]!))])),
      ];
    }),
  );
}

const median = (values: readonly number[]) => summary(values).median;
