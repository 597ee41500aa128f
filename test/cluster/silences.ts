/**
 * How long each partition says nothing while it has something to say:
 *
 *     entry 7 acknowledged ──────silent──────▶ delta of position 7 or later
 *                          └─ delta of position 5 ─▶ silent again from here: 7 is still missing
 *
 * Only entries are counted that must be published. A partition without any is not silent, however long nothing comes.
 */
export interface Silence {
  /** The partition that was silent for longest; undefined when none was. */
  readonly partition: number | undefined;
  readonly silentMs: number;
}

export interface Period {
  /** Ends the period. Returns its longest silence; of one that began before the period, only what is in it. */
  end(at: number): Silence;
}

interface Partition {
  /** The greatest position that is acknowledged, and the greatest that a delta had. */
  entered: number;
  spoken: number;
  /** When the silence began that lasts. */
  since: number | undefined;
}

interface OpenPeriod {
  readonly begun: number;
  longest: Silence;
}

/** Times are in ms, of one clock that never runs back. */
export class Silences {
  readonly #partitions = new Map<number, Partition>();
  readonly #open = new Set<OpenPeriod>();

  /** An entry that must be published is acknowledged. */
  entered(partition: number, position: number, at: number): void {
    const state = this.#of(partition);
    state.entered = Math.max(state.entered, position);
    if (position > state.spoken) state.since ??= at;
  }

  /** A delta through this position has come. */
  spoke(partition: number, position: number, at: number): void {
    const state = this.#of(partition);
    this.#ended(partition, state, at);
    state.spoken = Math.max(state.spoken, position);
    state.since = state.entered > state.spoken ? at : undefined;
  }

  /** The greatest position that a delta of the partition had. */
  spokenThrough(partition: number): number {
    return this.#of(partition).spoken;
  }

  begin(at: number): Period {
    const open: OpenPeriod = { begun: at, longest: { partition: undefined, silentMs: 0 } };
    this.#open.add(open);
    return {
      end: (at) => {
        for (const [partition, state] of this.#partitions) this.#ended(partition, state, at);
        this.#open.delete(open);
        return open.longest;
      },
    };
  }

  #ended(partition: number, { since }: Partition, at: number): void {
    if (since === undefined) return;
    for (const open of this.#open) {
      const silentMs = at - Math.max(since, open.begun);
      if (silentMs > open.longest.silentMs) open.longest = { partition, silentMs };
    }
  }

  #of(partition: number): Partition {
    let state = this.#partitions.get(partition);
    if (state === undefined) {
      state = { entered: 0, spoken: 0, since: undefined };
      this.#partitions.set(partition, state);
    }
    return state;
  }
}
