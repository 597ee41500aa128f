/** Who holds how many receipts, so that whoever holds the most is found at once: all local users, or all remote servers. */
import type { Position } from "../entry.ts";
import { EqualHolders } from "./equal-holders.ts";

export class Holders {
  /** By how many receipts they hold. */
  readonly #byCount: (EqualHolders | undefined)[] = [];
  #receipts = 0;

  /** How many receipts all of them hold. */
  get receipts(): number {
    return this.#receipts;
  }

  /** Called when a holder has one receipt more or less. `oldest`: the position of its oldest one; undefined without any. */
  recount(holder: string, { before, after, oldest }: Recount): void {
    const holders = this.#byCount;
    this.#receipts += after - before;
    holders[before]?.delete(holder);
    if (oldest !== undefined) {
      holders[after] ??= new EqualHolders();
      holders[after].add(holder, oldest);
    }
    while (holders.length > 0 && (holders.at(-1)?.size ?? 0) === 0) holders.pop();
  }

  /** The holder that holds the most; among equals, the one whose oldest receipt is oldest. */
  greatest(): string | undefined {
    return this.#byCount.at(-1)?.first();
  }
}

interface Recount {
  readonly before: number;
  readonly after: number;
  readonly oldest: Position | undefined;
}
