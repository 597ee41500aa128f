/**
 * `/metrics`, in Prometheus' text format: the figures of this process. docs/operations.md says what each one means.
 *
 * Labels are partitions, outcomes and error codes: never a room, a user or a server, of which there may be millions, and which
 * are nobody's business.
 */
import type { FastifyPluginAsync } from "fastify";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Worker } from "./worker/worker.ts";

const LATENCY_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const ENTRIES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const STATES = ["standby", "claiming", "catchingUp", "live", "draining", "released", "failed"] as const;
const MS_PER_SECOND = 1_000;
/** Each sample wakes the process. */
const EVENT_LOOP_SAMPLE_MS = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #reconnects: Counter;
  /** What ingress tells. */
  readonly ingress: {
    readonly appended: (entries: number, latencyMs: number) => void;
    readonly refused: (errcode: string) => void;
  };

  constructor() {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
    const records = new Histogram({
      name: "tidemark_ingress_record_entries",
      help: "Entries of each record that the log acknowledged; the sum is what ingress took",
      buckets: ENTRIES,
      registers,
    });
    const latency = new Histogram({
      name: "tidemark_ingress_append_seconds",
      help: "From sending a record to the log's acknowledgement",
      buckets: LATENCY_SECONDS,
      registers,
    });
    const refused = new Counter({
      name: "tidemark_ingress_refused_total",
      help: "Requests that were refused",
      labelNames: ["errcode"],
      registers,
    });
    this.#reconnects = new Counter({
      name: "tidemark_bus_reconnects_total",
      help: "Connections to the broker that were lost and made again",
      registers,
    });
    this.ingress = {
      appended: (entries, latencyMs) => {
        records.observe(entries);
        latency.observe(latencyMs / MS_PER_SECOND);
      },
      refused: (errcode) => refused.inc({ errcode }),
    };
  }

  reconnected(): void {
    this.#reconnects.inc();
  }

  /** Adds a worker's figures. They are taken when they are asked for. */
  watch(worker: Worker, lastSequence: (partition: number) => Promise<number>): void {
    this.#gauge(
      "tidemark_partition_state",
      "1 for the state that a partition is in here",
      ["partition", "state"],
      (set) => {
        for (const [partition, { state }] of worker.partitions) {
          for (const each of STATES) set(each === state ? 1 : 0, { partition, state: each });
        }
      },
    );
    this.#gauge("tidemark_folded_sequence", "Record through which a partition is folded", ["partition"], (set) => {
      for (const [partition, { folded }] of worker.partitions) set(folded, { partition });
    });
    this.#gauge("tidemark_lag_records", "Records of the log that are not folded here", ["partition"], async (set) => {
      await Promise.all(
        Array.from(worker.partitions, async ([partition, { folded }]) => {
          const last = await lastSequence(partition).catch(() => undefined);
          if (last !== undefined) set(Math.max(0, last - folded), { partition });
        }),
      );
    });
    this.#gauge("tidemark_rooms_active", "Rooms in memory", ["partition"], (set) => {
      for (const [partition, { rooms }] of worker.partitions) set(rooms?.active ?? 0, { partition });
    });
    this.#gauge(
      "tidemark_held_receipts",
      "Receipts that wait for their event, in active rooms",
      ["partition"],
      (set) => {
        for (const [partition, { rooms }] of worker.partitions) set(rooms?.held ?? 0, { partition });
      },
    );
    this.#gauge(
      "tidemark_rooms_passivated",
      "Rooms that left memory since the partition was opened",
      ["partition"],
      (set) => {
        for (const [partition, { rooms }] of worker.partitions) set(rooms?.passivated ?? 0, { partition });
      },
    );
    this.#gauge("tidemark_partitions_failed", "Partitions that this process has failed at", [], (set) => {
      set(worker.failedPartitions, {});
    });
    this.#total("tidemark_folded_total", "Entries that were folded, by outcome", ["outcome"], () =>
      Array.from(worker.counts.outcomes, ([outcome, count]) => [count, { outcome }]),
    );
    this.#total("tidemark_published_total", "Messages that were published", [], () => [[worker.counts.deltas, {}]]);
    this.#total("tidemark_lease_changes_total", "Partitions that were claimed, handed over or lost", [], () => [
      [worker.counts.leaseChanges, {}],
    ]);
  }

  readonly routes: FastifyPluginAsync = async (app) => {
    app.get("/metrics", async (_, reply) => {
      reply.type(this.#registry.contentType);
      return this.#registry.metrics();
    });
  };

  #gauge(
    name: string,
    help: string,
    labelNames: readonly string[],
    take: (set: (value: number, labels: Record<string, string | number>) => void) => void | Promise<void>,
  ): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        gauge.reset();
        return take((value, labels) => gauge.set(labels, value));
      },
    });
  }

  /** A counter that somebody else counts. */
  #total(
    name: string,
    help: string,
    labelNames: readonly string[],
    take: () => [count: number, labels: Record<string, string>][],
  ): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        for (const [count, labels] of take()) counter.inc(labels, count);
      },
    });
  }
}
