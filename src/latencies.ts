/** How long things take in each role, as histograms, and what was answered (docs/operations.md#metrics). */
import { Counter, Histogram, type Registry } from "prom-client";
import { fromZero, LATENCY_SECONDS, MS_PER_SECOND } from "./metric-series.ts";

/** What an answer over HTTP is about. Long polls of `sync` are measured apart: they take as long as nothing happens. */
const HTTP_KINDS = ["history", "other", "receipt", "transaction"] as const;
type HttpKind = (typeof HTTP_KINDS)[number];

const HISTORY = /\/(?:messages|context|event|relations|threads|state|members|joined_members)\b/;

/** `route` is the template of a path, as in `/rooms/:room/messages`; empty for a path of nobody. */
function kindOf(route: string): HttpKind | "sync" {
  if (route.endsWith("/sync")) return "sync";
  if (route.startsWith("/_matrix/app/")) return "transaction";
  if (route.includes("/receipt/") || route.endsWith("/read_markers")) return "receipt";
  return HISTORY.test(route) ? "history" : "other";
}

export interface Latencies {
  /** An HTTP request was answered. */
  readonly http: (route: string, status: number, ms: number) => void;
  /** A `/sync` was answered, so long after it came, or after the change for which it waited. */
  readonly synced: (ms: number) => void;
  /** Requests of a record were answered, so long after the first of them came. */
  readonly requested: (ms: number) => void;
  /** A worker answered a question. `errcode`: it refused it. */
  readonly asked: (ms: number, errcode: string | undefined) => void;
  /** Deltas of a record were acknowledged, so long after it was appended. */
  readonly published: (ms: number) => void;
  /** A checkpoint was committed. */
  readonly stored: (ms: number) => void;
}

export function latencyMetrics(registry: Registry): Latencies {
  const registers = [registry];
  const histogram = (name: string, help: string) => new Histogram({ name, help, buckets: LATENCY_SECONDS, registers });
  const http = new Histogram({
    name: "tidemark_http_request_seconds",
    help: "Time from an HTTP request to its answer, but for /sync",
    labelNames: ["kind"],
    buckets: LATENCY_SECONDS,
    registers,
  });
  for (const kind of HTTP_KINDS) http.zero({ kind });
  const answers = new Counter({
    name: "tidemark_http_answers_total",
    help: "Answers over HTTP, by the first digit of their status",
    labelNames: ["status"],
    registers,
  });
  fromZero(answers, "status", { "2xx": true, "4xx": true, "5xx": true });
  const refused = new Counter({
    name: "tidemark_query_refused_total",
    help: "Questions over the bus that this worker refused",
    labelNames: ["errcode"],
    registers,
  });
  // The askers' mistakes appear when they happen.
  fromZero(refused, "errcode", { M_UNKNOWN: true });
  const synced = histogram(
    "tidemark_sync_answer_seconds",
    "Time from a /sync, or from the change for which it waited, to its answer",
  );
  const requested = histogram(
    "tidemark_ingress_request_seconds",
    "Time from the first request of a record to the answers",
  );
  const asked = histogram("tidemark_query_seconds", "Time from a question over the bus to this worker's answer");
  const published = histogram(
    "tidemark_append_to_delta_seconds",
    "Time from ingress's clock in a record to the acknowledgement of its deltas, by this worker's clock",
  );
  const stored = histogram("tidemark_checkpoint_seconds", "Time that the commit of a checkpoint took");
  const seconds = (metric: Histogram) => (ms: number) => metric.observe(Math.max(0, ms) / MS_PER_SECOND);
  return {
    http: (route, status, ms) => {
      answers.inc({ status: `${Math.floor(status / 100)}xx` });
      const kind = kindOf(route);
      if (kind !== "sync") http.observe({ kind }, ms / MS_PER_SECOND);
    },
    synced: seconds(synced),
    requested: seconds(requested),
    asked: (ms, errcode) => {
      asked.observe(ms / MS_PER_SECOND);
      if (errcode !== undefined) refused.inc({ errcode });
    },
    published: seconds(published),
    stored: seconds(stored),
  };
}
