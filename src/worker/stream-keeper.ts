/**
 * Keeps the streams and buckets there while a worker runs (docs/design.md#what-is-kept). What was deleted is made again where nothing
 * is lost by it, or nothing more than its deletion has lost. A log is never made again: its orders would be given to other events.
 *
 *     every `CHECK_MS`: ask for each stream ──there──▶ the conditions about it end
 *                                           ──gone───▶ `stream_missing`, make it again ──▶ its copies in other accounts
 *                                           ──a log──▶ `log_missing`
 *                                           ──no answer──▶ `stream_unreachable`
 *
 * Each worker does so, and none needs the others: making what is there changes nothing. Publishers and readers of a stream that is
 * gone go on trying, so they need not know of this.
 */
import { setTimeout as delay } from "node:timers/promises";
import { eachAtOnce } from "../at-once.ts";
import type { Bus } from "../bus/client/connection.ts";
import { STREAMS_AT_ONCE, streamState } from "../bus/client/jetstream.ts";
import { prepareOutside } from "../bus/outside-accounts.ts";
import { type KeptStreams, keptStreams } from "../bus/streams.ts";
import type { Conditions } from "../conditions.ts";
import { reasonOf } from "../errors.ts";

/** Below the time after which an owner gives up its lease, so that a bucket of leases that is made again costs nobody a partition. */
const CHECK_MS = 5_000;
/** With very many streams the checks are as many per second as with these. */
const CHECK_MS_PER_STREAM = 50;

/** Copies in other accounts are checked every so many rounds, so that they are made within a minute, and when a stream was made again here. */
const ROUNDS_PER_COPIES = 10;

type Kept = ReturnType<typeof keptStreams> extends Generator<infer Each> ? Each : never;

/** What is asked about the copies, all together. */
const COPIES = "copies in other accounts";

interface StreamKeeperOptions {
  readonly nc: Bus;
  readonly kept: KeptStreams;
  readonly conditions: Conditions;
  /** Called with the newest sequence of a log, each time that it is looked for. */
  readonly ended: (partition: number, last: number) => void;
  /** Default: `CHECK_MS`. */
  readonly everyMs?: number;
}

export class StreamKeeper {
  readonly #options: StreamKeeperOptions;
  readonly #closing = new AbortController();
  readonly #streams: readonly Kept[];
  readonly #running: Promise<void>;
  #areCopiesDue = false;

  constructor(options: StreamKeeperOptions) {
    this.#options = options;
    this.#streams = [...keptStreams(options.nc, options.kept)];
    this.#running = this.#run();
  }

  /** Resolves when nothing more is made. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { everyMs = Math.max(CHECK_MS, CHECK_MS_PER_STREAM * this.#streams.length) } = this.#options;
    for (let round = 1; !signal.aborted; round++) {
      await delay(everyMs, undefined, { signal }).catch(() => {});
      if (signal.aborted || this.#options.conditions.has("broker_away")) continue;
      await eachAtOnce(this.#streams, STREAMS_AT_ONCE, (stream) => this.#keep(stream));
      if (this.#areCopiesDue || round % ROUNDS_PER_COPIES === 0) await this.#keepCopies();
    }
  }

  async #keep({ stream, make, partition }: Kept): Promise<void> {
    const { nc, conditions, ended } = this.#options;
    if (this.#closing.signal.aborted) return;
    try {
      const state = await streamState(nc, stream);
      const isThere = state !== undefined;
      if (partition !== undefined && isThere) ended(partition, state.last);
      conditions.end("stream_unreachable", stream);
      conditions.set(!isThere, make === undefined ? "log_missing" : "stream_missing", stream);
      if (isThere || make === undefined) return;
      await make();
      this.#areCopiesDue = true;
      conditions.end("stream_missing", stream);
    } catch (error) {
      conditions.begin("stream_unreachable", stream, { reason: reasonOf(error) });
    }
  }

  async #keepCopies(): Promise<void> {
    const { nc, kept, conditions } = this.#options;
    if (this.#closing.signal.aborted) return;
    try {
      await prepareOutside(nc, kept.replicas, kept);
      this.#areCopiesDue = false;
      conditions.end("stream_unreachable", COPIES);
    } catch (error) {
      conditions.begin("stream_unreachable", COPIES, { reason: reasonOf(error) });
    }
  }
}
