/**
 * A gateway at its start, and streams that aren't there: none was made yet, or one was deleted, and a worker makes it. No other
 * gateway could do better, so this one waits as long as it takes, and says for which stream (docs/operations.md#what-is-wrong).
 */
import type { Bus } from "../bus/client/connection.ts";
import { streamState } from "../bus/client/jetstream.ts";
import { awaitStreams } from "../bus/partition-count.ts";
import type { Conditions } from "../conditions.ts";
import { reasonOf } from "../errors.ts";

interface StreamWaitOptions {
  readonly nc: Bus;
  readonly conditions: Conditions;
  /** Ends all waits: they throw. Default: nothing does. */
  readonly stopping?: AbortSignal | undefined;
}

export class StreamWait {
  readonly #options: StreamWaitOptions;
  readonly #limit: AbortSignal;

  constructor(options: StreamWaitOptions) {
    this.#options = options;
    this.#limit = options.stopping ?? new AbortController().signal;
  }

  /** Repeats `open` until the stream that it reads can be read. */
  async until<T>(stream: string, open: () => Promise<T>): Promise<T> {
    const { conditions } = this.#options;
    const opened = await awaitStreams(this.#limit, open, () => this.#look(stream));
    conditions.end("stream_missing", stream);
    conditions.end("stream_unreachable", stream);
    return opened;
  }

  async #look(stream: string): Promise<void> {
    const { nc, conditions } = this.#options;
    try {
      const isThere = (await streamState(nc, stream)) !== undefined;
      conditions.set(!isThere, "stream_missing", stream);
      conditions.end("stream_unreachable", stream);
    } catch (error) {
      if (!conditions.has("broker_away")) conditions.begin("stream_unreachable", stream, { reason: reasonOf(error) });
    }
  }
}
