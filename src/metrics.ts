/**
 * `/metrics`: the metrics of this process in the text format of Prometheus. docs/operations.md describes each of them.
 *
 * Labels are partitions, outcomes and error codes. Rooms, users and servers are never labels: there may be millions,
 * and they are private.
 */
import type { FastifyPluginAsync } from "fastify";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Build } from "./build.ts";
import type { OnPruned, PrunedReason } from "./bus/contract/pruning.ts";
import { type Conditions, REASONS } from "./conditions.ts";
import type { OnLeftOut } from "./homeserver/delivery.ts";
import { type Latencies, latencyMetrics } from "./latencies.ts";
import { fromZero, LATENCY_SECONDS, MS_PER_SECOND } from "./metric-series.ts";
import { type ProxyMetrics, proxyMetrics } from "./proxy-metrics.ts";
import type { Worker } from "./worker/worker.ts";

const ENTRIES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const STATES = ["standby", "claiming", "catchingUp", "live", "draining", "released", "failed"] as const;
/** Of a gateway, and of a proxy. */
const CACHES = ["deltas", "orders"] as const;
type Cache = (typeof CACHES)[number];
/** Sampling interval of the event loop delay. Each sample wakes the process. */
const EVENT_LOOP_SAMPLE_MS = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #reconnects: Counter;
  readonly #unreadable: Counter;
  readonly latencies: Latencies;
  #isConnected = () => false;
  readonly #caches = new Map<Cache, () => number>();
  /** Callbacks for `Ingress`. */
  readonly ingress: {
    readonly appended: (entries: number, latencyMs: number) => void;
    readonly refused: (errcode: string) => void;
    readonly pruned: OnPruned;
  };
  /** Callbacks for the proxy. */
  readonly proxy: ProxyMetrics;
  /** Callbacks for the application service endpoint. */
  readonly transactions: {
    readonly pruned: OnPruned;
    readonly leftOut: OnLeftOut;
    readonly stored: (events: number, receipts: number) => void;
  };

  constructor(conditions: Conditions, { version, build }: Build) {
    const registers = [this.#registry];
    this.latencies = latencyMetrics(this.#registry);
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
    this.#gauge("tidemark_degraded", "How many things are wrong in this process, by what is", ["reason"], (set) => {
      const open = conditions.open();
      for (const reason of REASONS) set(open.filter((condition) => condition.reason === reason).length, { reason });
    });
    this.#gauge("tidemark_build_info", "1, with what runs here as labels", ["version", "build", "node"], (set) => {
      set(1, { version, build, node: process.version });
    });
    this.#gauge("tidemark_bus_connected", "1 while this process is connected to the broker", [], (set) => {
      set(this.#isConnected() ? 1 : 0, {});
    });
    this.#gauge("tidemark_cache_bytes", "Memory that caches take", ["cache"], (set) => {
      for (const cache of CACHES) set(this.#caches.get(cache)?.() ?? 0, { cache });
    });
    const records = new Histogram({
      name: "tidemark_ingress_record_entries",
      help: "Entries per record that the log acknowledged; the sum is all entries that ingress stored",
      buckets: ENTRIES,
      registers,
    });
    const latency = new Histogram({
      name: "tidemark_ingress_append_seconds",
      help: "Time from sending a record to the acknowledgement of the log",
      buckets: LATENCY_SECONDS,
      registers,
    });
    const refused = new Counter({
      name: "tidemark_ingress_refused_total",
      help: "Refused requests",
      labelNames: ["errcode"],
      registers,
    });
    // Counted from 0, for alerts. The senders' mistakes appear when they happen.
    refused.inc({ errcode: "M_UNKNOWN" }, 0);
    refused.inc({ errcode: "M_LIMIT_EXCEEDED" }, 0);
    const pruned = new Counter({
      name: "tidemark_pruned_values_total",
      help: "Values in events that are not stored, by the reason why they can't be",
      labelNames: ["reason"],
      registers,
    });
    fromZero<PrunedReason>(pruned, "reason", {
      depth: true,
      number: true,
      proto: true,
      text: true,
      field: true,
      size: true,
    });
    const leftOut = new Counter({
      name: "tidemark_transactions_left_out_total",
      help: "Parts of a homeserver's transactions that are not stored, by the reason why they can't be",
      labelNames: ["reason"],
      registers,
    });
    // The other reasons are error codes, which appear when they happen.
    fromZero(leftOut, "reason", { malformed: true, too_large: true });
    this.#reconnects = new Counter({
      name: "tidemark_bus_reconnects_total",
      help: "Reconnects to the broker",
      registers,
    });
    this.#unreadable = new Counter({
      name: "tidemark_deltas_unreadable_total",
      help: "Deltas that this gateway could not read",
      registers,
    });
    this.ingress = {
      appended: (entries, latencyMs) => {
        records.observe(entries);
        latency.observe(latencyMs / MS_PER_SECOND);
      },
      refused: (errcode) => refused.inc({ errcode }),
      pruned: (reason) => pruned.inc({ reason }),
    };
    this.proxy = proxyMetrics(registers);
    const transactions = new Counter({
      name: "tidemark_transactions_total",
      help: "Transactions of a homeserver that were answered with 200",
      registers,
    });
    const lastTransaction = new Gauge({
      name: "tidemark_last_transaction_timestamp_seconds",
      help: "When the last of them was answered, Unix time; 0 before the first",
      registers,
    });
    const pushed = new Counter({
      name: "tidemark_pushed_total",
      help: "Events and receipts in those that were not there already, in an earlier transaction",
      labelNames: ["kind"],
      registers,
    });
    fromZero(pushed, "kind", { event: true, receipt: true });
    this.transactions = {
      pruned: this.ingress.pruned,
      leftOut: (reason, items) => leftOut.inc({ reason }, items),
      stored: (events, receipts) => {
        transactions.inc();
        pushed.inc({ kind: "event" }, events);
        pushed.inc({ kind: "receipt" }, receipts);
        lastTransaction.setToCurrentTime();
      },
    };
  }

  reconnected(): void {
    this.#reconnects.inc();
  }

  /** Says from now on whether the process is connected. */
  watchConnection(isConnected: () => boolean): void {
    this.#isConnected = isConnected;
  }

  watchCache(cache: Cache, bytes: () => number): void {
    this.#caches.set(cache, bytes);
  }

  unreadableDelta(): void {
    this.#unreadable.inc();
  }

  /** Adds the metrics of a worker. They are collected on each request. */
  watch(worker: Worker, lastSequence: (partition: number) => Promise<number>): void {
    this.#gauge(
      "tidemark_partition_state",
      "1 for the current state of each partition in this process",
      ["partition", "state"],
      (set) => {
        for (const [partition, { state }] of worker.partitions) {
          for (const each of STATES) set(each === state ? 1 : 0, { partition, state: each });
        }
      },
    );
    this.#gauge("tidemark_folded_sequence", "Sequence of the newest folded record", ["partition"], (set) => {
      for (const [partition, { folded }] of worker.partitions) set(folded, { partition });
    });
    this.#gauge("tidemark_lag_records", "Records of the log that are not folded yet", ["partition"], async (set) => {
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
      "Rooms passivated since the partition was opened",
      ["partition"],
      (set) => {
        for (const [partition, { rooms }] of worker.partitions) set(rooms?.passivated ?? 0, { partition });
      },
    );
    this.#gauge(
      "tidemark_unpublished_seconds",
      "Since when the oldest change of a partition has waited to be published; 0 when none waits",
      ["partition"],
      (set) => {
        for (const [partition, { unpublishedMs }] of worker.partitions) {
          set(unpublishedMs / MS_PER_SECOND, { partition });
        }
      },
    );
    this.#gauge(
      "tidemark_federation_waiting",
      "Receipts that wait to be published for other servers",
      ["partition"],
      (set) => {
        for (const [partition, { federationWaiting }] of worker.partitions) set(federationWaiting, { partition });
      },
    );
    this.#gauge("tidemark_store_bytes", "Size of a partition's store on disk", ["partition"], (set) => {
      for (const [partition, { storeBytes }] of worker.partitions) {
        if (storeBytes !== undefined) set(storeBytes, { partition });
      }
    });
    this.#gauge(
      "tidemark_clock_skew_seconds",
      "How far a clock is ahead of the broker's: this worker's, or that of the ingress that differs most",
      ["clock"],
      (set) => {
        for (const [clock, aheadMs] of worker.clockSkew.readings()) set(aheadMs / MS_PER_SECOND, { clock });
      },
    );
    this.#gauge("tidemark_partitions_failed", "Partitions that have failed in this process", [], (set) => {
      set(worker.failedPartitions, {});
    });
    this.#total("tidemark_folded_total", "Folded entries, by outcome", ["outcome"], () =>
      Array.from(worker.counts.outcomes, ([outcome, count]) => [count, { outcome }]),
    );
    this.#total("tidemark_published_total", "Published messages", [], () => [[worker.counts.deltas, {}]]);
    this.#total("tidemark_lease_changes_total", "Partitions claimed, handed over or lost", ["change"], () =>
      Object.entries(worker.counts.leases).map(([change, count]) => [count, { change }]),
    );
  }

  /** All metrics as they are now. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  readonly routes: FastifyPluginAsync = async (app) => {
    app.get("/metrics", async (_, reply) => {
      reply.type(this.#registry.contentType);
      return this.text();
    });
  };

  #gauge(
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: (set: (value: number, labels: Record<string, string | number>) => void) => void | Promise<void>,
  ): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        gauge.reset();
        return collect((value, labels) => gauge.set(labels, value));
      },
    });
  }

  /** A counter whose values are counted elsewhere. */
  #total(
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: () => [count: number, labels: Record<string, string>][],
  ): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        for (const [count, labels] of collect()) counter.inc(labels, count);
      },
    });
  }
}
