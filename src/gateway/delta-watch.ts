/** Notices when a gateway doesn't get the deltas that its streams have (docs/operations.md#what-is-wrong). */
import type { Bus } from "../bus/client/connection.ts";
import { streamState } from "../bus/client/jetstream.ts";
import { deltaStream } from "../bus/contract/subjects.ts";
import type { DeltaMark } from "../bus/deltas/delta-reader.ts";
import type { Conditions } from "../conditions.ts";
import { Standstill } from "../standstill.ts";

const CHECK_MS = 10_000;

interface DeltaWatchOptions {
  readonly nc: Bus;
  readonly conditions: Conditions;
  /** How far each partition is read. */
  readonly marks: () => readonly DeltaMark[];
  /** Default: `CHECK_MS`. */
  readonly everyMs?: number;
}

export class DeltaWatch {
  readonly #options: DeltaWatchOptions;
  readonly #standstill = new Standstill();
  readonly #timer: NodeJS.Timeout;

  constructor(options: DeltaWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      for (const partition of options.marks().keys()) void this.#look(partition);
    }, options.everyMs ?? CHECK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(partition: number): Promise<void> {
    const { nc, conditions, marks } = this.#options;
    const state = await streamState(nc, deltaStream(partition)).catch(() => undefined);
    if (state === undefined) return; // `broker_away`, or workers say what is wrong with the stream.
    const { sequence: read } = marks()[partition]!;
    const isDeaf = this.#standstill.look(partition, { read, end: state.last });
    conditions.set(isDeaf, "deltas_unread", partition, { read, last: state.last });
  }
}
