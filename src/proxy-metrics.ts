/** Metrics of the proxy, and of what it does beside (docs/operations.md#metrics). */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ImportOutcome } from "./homeserver/room-imports.ts";
import type { ConfirmationOutcome } from "./homeserver/state-confirmations.ts";
import { fromZero, LATENCY_SECONDS, MS_PER_SECOND } from "./metric-series.ts";
import type { ReceiptOutcome } from "./proxy/accepted-receipts.ts";
import type { Outcome } from "./proxy/annotation.ts";
import type { MarkerSyncOutcome } from "./proxy/marker-syncs.ts";
import type { OrderSource } from "./proxy/order-finder.ts";
import type { PingOutcome } from "./proxy/push-watch.ts";

export interface ProxyMetrics {
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
}

export function proxyMetrics(registers: Registry[]): ProxyMetrics {
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
