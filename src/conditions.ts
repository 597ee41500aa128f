/**
 * What can be wrong while a process runs, in one table (docs/operations.md#what-is-wrong). Whoever notices it says when it begins and
 * when it ends; what an operator sees of it follows from here.
 *
 *     whoever notices ──begin──▶ waits ──`afterMs`──▶ open ──▶ a line in the log, `tidemark_degraded{reason}`, the worker's heartbeat
 *                     ──end────▶ over                 over ──▶ a line in the log
 *
 * A condition is about one thing (`where`: a partition, a stream, a clock), or about the whole process. It is open once at a time:
 * however often it is noticed, it has one line when it begins and one when it ends.
 */
import type { Logger } from "pino";

interface Declared {
  /** The line when it begins. Absent where whoever notices it writes a line with more in it. */
  readonly begins?: string;
  readonly ends?: string;
  readonly level?: "error" | "warn";
  /** How long it must last before it counts, ms. Default: 0. */
  readonly afterMs?: number;
  /** What a person does about it, in a few words: for `tidemark status`. */
  readonly todo: string;
}

const declared = <Reason extends string>(table: Record<Reason, Declared>): Readonly<Record<Reason, Declared>> => table;

export const CONDITIONS = declared({
  broker_away: {
    begins: "the broker can't be reached",
    ends: "the broker is reached again",
    todo: "look at the brokers, and at the network",
  },
  partition_failed: {
    todo: "its log line says what to do; then restart the worker",
  },
  partition_unserved: {
    begins: "a partition is not served by any worker",
    ends: "a partition is served again",
    level: "error",
    afterMs: 30_000,
    todo: "start a worker; if there are some, their log lines say why they don't serve it",
  },
  partition_stuck: {
    begins: "a partition doesn't get on: its log can't be read, or its owner doesn't say how far it is",
    ends: "a partition gets on again",
    todo: "look for streams without a leader at the brokers",
  },
  newer_version_needed: {
    begins: "a partition has no owner, and its last one had a newer version of Tidemark: start that version",
    ends: "a partition that needs a newer version of Tidemark has an owner",
    level: "error",
    todo: "start a worker of the newer version",
  },
  deltas_unpublished: {
    begins: "deltas are not acknowledged by their stream: readers see nothing new",
    ends: "deltas are acknowledged again",
    level: "error",
    afterMs: 10_000,
    todo: "look at the delta stream: its leader, and the space at the brokers",
  },
  log_unread: {
    begins: "entries come in, and the owner of their partition does not read them",
    ends: "entries are read again",
    level: "error",
    afterMs: 10_000,
    todo: "end that worker: its partitions go to the standbys; then look at the brokers",
  },
  deltas_unread: {
    begins: "deltas are published, and this gateway does not read them",
    ends: "deltas are read again",
    level: "error",
    afterMs: 10_000,
    todo: "end that gateway: its clients go to others; then look at the brokers",
  },
  federation_unpublished: {
    begins: "receipts to other servers are not acknowledged by their stream",
    ends: "receipts to other servers are acknowledged again",
    afterMs: 10_000,
    todo: "look at the federation streams: their leaders, and the space at the brokers",
  },
  rejections_unpublished: {
    begins: "rejections are not acknowledged by their stream",
    ends: "rejections are acknowledged again",
    afterMs: 10_000,
    todo: "look at the stream TIDEMARK_REJECTED; deltas don't wait for it",
  },
  mark_unwritten: {
    begins: "the published mark can't be written: after a crash, deltas may be published again",
    ends: "the published mark is written again",
    todo: "look at the bucket tidemark_published",
  },
  log_missing: {
    begins: "a log is gone, and is never made again: what it had is lost unless there is a backup",
    ends: "a log is there again",
    level: "error",
    todo: "restore the log from a backup",
  },
  stream_missing: {
    begins: "a stream is missing: a worker makes it",
    ends: "a stream is there again",
    todo: "nothing, when it ends soon; otherwise see whether a worker runs, and look at the brokers",
  },
  stream_unreachable: {
    begins: "a stream can't be asked: it may have no leader",
    ends: "a stream can be asked again",
    afterMs: 10_000,
    todo: "bring the brokers back that have its replicas",
  },
  clock_skew: {
    begins: "a clock differs from the broker's by a minute or more",
    ends: "a clock agrees with the broker's again",
    todo: "see to NTP there, or at the broker",
  },
  pushes_stalled: {
    todo: "look at the homeserver's log, and at the url of the registration",
  },
  without_orders: {
    todo: "look at the brokers and the workers: the proxy can't ask Tidemark",
  },
});

export type Reason = keyof typeof CONDITIONS;

export const REASONS = Object.keys(CONDITIONS) as Reason[];

/** What is wrong now. */
export interface Condition {
  readonly reason: Reason;
  /** What it is about; empty for the whole process. */
  readonly where: string;
  /** Unix time in ms. */
  readonly since: number;
}

/** More of a condition, for its first line. */
type Details = Readonly<Record<string, unknown>>;

/** Says of one condition whether it is there. */
export type Notice = (isThere: boolean, details?: Details) => void;

interface Noticed extends Condition {
  /** Until it counts. */
  readonly timer: NodeJS.Timeout | undefined;
  isOpen: boolean;
}

interface ConditionsOptions {
  readonly log: Logger;
  /** Multiplies each `afterMs`. Default: 1. */
  readonly patience?: number;
}

export class Conditions {
  readonly #options: ConditionsOptions;
  readonly #noticed = new Map<string, Noticed>();

  constructor(options: ConditionsOptions) {
    this.#options = options;
  }

  /** Says whether a condition is there. Repeats of either change nothing. */
  set(isThere: boolean, reason: Reason, where: string | number = "", details: Details = {}): void {
    if (isThere) this.begin(reason, where, details);
    else this.end(reason, where);
  }

  /** For those who notice one condition alone. */
  notice(reason: Reason, where: string | number = ""): Notice {
    return (isThere, details) => this.set(isThere, reason, where, details);
  }

  begin(reason: Reason, where: string | number = "", details: Details = {}): void {
    const key = keyOf(reason, where);
    if (this.#noticed.has(key)) return;
    const afterMs = (CONDITIONS[reason].afterMs ?? 0) * (this.#options.patience ?? 1);
    const timer = afterMs === 0 ? undefined : setTimeout(() => this.#open(key, details), afterMs).unref();
    this.#noticed.set(key, { reason, where: String(where), since: Date.now(), timer, isOpen: false });
    if (timer === undefined) this.#open(key, details);
  }

  end(reason: Reason, where: string | number = ""): void {
    const key = keyOf(reason, where);
    const noticed = this.#noticed.get(key);
    if (noticed === undefined) return;
    clearTimeout(noticed.timer);
    this.#noticed.delete(key);
    if (!noticed.isOpen) return;
    const { ends } = CONDITIONS[reason];
    const seconds = Math.max(0, Math.round((Date.now() - noticed.since) / 1_000));
    if (ends !== undefined) this.#options.log.info({ condition: reason, ...whereIn(noticed), seconds }, ends);
  }

  /** What is wrong now, what began first at the beginning. */
  open(): Condition[] {
    return [...this.#noticed.values()].flatMap(({ isOpen, reason, where, since }) =>
      isOpen ? [{ reason, where, since }] : [],
    );
  }

  has(reason: Reason): boolean {
    return this.open().some((condition) => condition.reason === reason);
  }

  #open(key: string, details: Details): void {
    const noticed = this.#noticed.get(key)!;
    noticed.isOpen = true;
    const { begins, level = "warn" } = CONDITIONS[noticed.reason];
    if (begins !== undefined) {
      this.#options.log[level]({ condition: noticed.reason, ...whereIn(noticed), ...details }, begins);
    }
  }
}

function keyOf(reason: Reason, where: string | number): string {
  return `${reason} ${where}`;
}

function whereIn({ where }: Condition): { readonly where?: string } {
  return where === "" ? {} : { where };
}
