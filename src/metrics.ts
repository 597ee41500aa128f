/**
 * `/metrics`: the metrics of this process in the text format of Prometheus. docs/operations.md describes each of them.
 *
 * Labels are partitions, outcomes and error codes. Rooms, users and servers are never labels: there may be millions,
 * and they are private.
 */
import type { FastifyPluginAsync } from "fastify";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { OnPruned, PrunedReason } from "./bus/contract/pruning.ts";
import { type Conditions, REASONS } from "./conditions.ts";
import type { OnLeftOut } from "./homeserver/delivery.ts";
import type { ImportOutcome } from "./homeserver/room-imports.ts";
import type { ConfirmationOutcome } from "./homeserver/state-confirmations.ts";
import type { ReceiptOutcome } from "./proxy/accepted-receipts.ts";
import type { Outcome } from "./proxy/annotation.ts";
import type { MarkerSyncOutcome } from "./proxy/marker-syncs.ts";
import type { OrderSource } from "./proxy/order-finder.ts";
import type { PingOutcome } from "./proxy/push-watch.ts";
import type { Worker } from "./worker/worker.ts";

const LATENCY_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const ENTRIES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const STATES = ["standby", "claiming", "catchingUp", "live", "draining", "released", "failed"] as const;
const MS_PER_SECOND = 1_000;
/** Sampling interval of the event loop delay. Each sample wakes the process. */
const EVENT_LOOP_SAMPLE_MS = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #reconnects: Counter;
  readonly #unreadable: Counter;
  /** Callbacks for `Ingress`. */
  readonly ingress: {
    readonly appended: (entries: number, latencyMs: number) => void;
    readonly refused: (errcode: string) => void;
    readonly pruned: OnPruned;
  };
  /** Callbacks for the proxy. */
  readonly proxy: {
    readonly answered: (outcome: Outcome) => void;
    readonly found: (source: OrderSource, events: number) => void;
    readonly waited: (ms: number) => void;
    readonly away: (isAway: boolean) => void;
    readonly failed: () => void;
    readonly receipts: (outcome: ReceiptOutcome, receipts: number) => void;
    readonly synced: (outcome: MarkerSyncOutcome) => void;
    readonly stalled: (isStalled: boolean) => void;
    readonly pinged: (outcome: PingOutcome) => void;
    readonly importing: (imports: number) => void;
    readonly imported: (outcome: ImportOutcome) => void;
    readonly stateConfirmed: (outcome: ConfirmationOutcome) => void;
  };
  /** Callbacks for the application service endpoint. */
  readonly transactions: {
    readonly pruned: OnPruned;
    readonly leftOut: OnLeftOut;
    readonly stored: (events: number, receipts: number) => void;
  };

  constructor(conditions: Conditions) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
    this.#gauge("tidemark_degraded", "How many things are wrong in this process, by what is", ["reason"], (set) => {
      const open = conditions.open();
      for (const reason of REASONS) set(open.filter((condition) => condition.reason === reason).length, { reason });
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
    this.#total("tidemark_lease_changes_total", "Partitions claimed, handed over or lost", [], () => [
      [worker.counts.leaseChanges, {}],
    ]);
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

/**
 * Exposes a counter's series before the first count. `increase()` takes the first sample of a series as its start, so what a
 * new series begins with is never seen: an alert would miss the first failure.
 */
function fromZero<Value extends string>(counter: Counter, label: string, values: Record<Value, true>): void {
  for (const value in values) counter.inc({ [label]: value }, 0);
}

function proxyMetrics(registers: Registry[]): Metrics["proxy"] {
  const answers = new Counter({
    name: "tidemark_proxy_answers_total",
    help: "The homeserver's answers on paths with events, by what became of them",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<Outcome>(answers, "outcome", {
    annotated: true,
    unchanged: true,
    too_large: true,
    busy: true,
    encoding: true,
    not_json: true,
  });
  const orders = new Counter({
    name: "tidemark_proxy_orders_total",
    help: "Events in those answers, by where their order came from",
    labelNames: ["source"],
    registers,
  });
  fromZero<OrderSource>(orders, "source", { cache: true, question: true, delta: true, none: true });
  const waits = new Histogram({
    name: "tidemark_proxy_wait_seconds",
    help: "Time for which answers waited for orders of events that Tidemark did not have yet",
    buckets: LATENCY_SECONDS,
    registers,
  });
  const away = new Gauge({
    name: "tidemark_proxy_without_orders",
    help: "1 while answers pass without orders because Tidemark can't be asked",
    registers,
  });
  const failed = new Counter({
    name: "tidemark_proxy_failed_total",
    help: "Requests that the homeserver could not be sent, or whose answers it broke off",
    registers,
  });
  const syncs = new Counter({
    name: "tidemark_proxy_marker_syncs_total",
    help: "Times that a user's markers were asked for from the homeserver",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<MarkerSyncOutcome>(syncs, "outcome", { read: true, failed: true, forbidden: true });
  const stalled = new Gauge({
    name: "tidemark_proxy_pushes_stalled",
    help: "1 while the homeserver answers with new events that it doesn't push: it may be waiting after failed pushes",
    registers,
  });
  const pings = new Counter({
    name: "tidemark_proxy_pings_total",
    help: "Pings that the homeserver was asked for",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<PingOutcome>(pings, "outcome", { answered: true, failed: true });
  const receipts = new Counter({
    name: "tidemark_proxy_receipts_total",
    help: "Receipts that the homeserver has accepted from clients, by whether Tidemark was told of them",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<ReceiptOutcome>(receipts, "outcome", { told: true, refused: true, lost: true });
  const importing = new Gauge({
    name: "tidemark_room_imports_running",
    help: "Rooms that are being imported from the homeserver",
    registers,
  });
  const imported = new Counter({
    name: "tidemark_room_imports_total",
    help: "Imports of rooms from the homeserver in the background, by how they ended",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<ImportOutcome>(imported, "outcome", { done: true, failed: true, nobody: true });
  const confirmed = new Counter({
    name: "tidemark_state_confirmations_total",
    help: "State events of other servers that were compared with the homeserver's state, by what came out",
    labelNames: ["outcome"],
    registers,
  });
  fromZero<ConfirmationOutcome>(confirmed, "outcome", { confirmed: true, corrected: true, given_up: true });
  return {
    stateConfirmed: (outcome) => confirmed.inc({ outcome }),
    importing: (imports) => importing.set(imports),
    imported: (outcome) => imported.inc({ outcome }),
    answered: (outcome) => answers.inc({ outcome }),
    found: (source, events) => orders.inc({ source }, events),
    waited: (ms) => waits.observe(ms / MS_PER_SECOND),
    away: (isAway) => away.set(isAway ? 1 : 0),
    failed: () => failed.inc(),
    stalled: (isStalled) => stalled.set(isStalled ? 1 : 0),
    pinged: (outcome) => pings.inc({ outcome }),
    synced: (outcome) => syncs.inc({ outcome }),
    receipts: (outcome, count) => receipts.inc({ outcome }, count),
  };
}
