import type { Position } from "../../actors/entry.ts";
import type { Leases } from "../bus/leases/leases.ts";

/** The owner lease of one partition: never given up while a claim is under way, so that none is won and forgotten. */
export class OwnerLease {
  readonly #leases: Pick<Leases, "claim" | "release">;
  readonly #partition: number;
  #lastClaim: Promise<unknown> = Promise.resolve();

  constructor(leases: Pick<Leases, "claim" | "release">, partition: number) {
    this.#leases = leases;
    this.#partition = partition;
  }

  /** Resolves to the position through which the last owner had published the log of this lineage, or undefined when another worker has the lease. */
  claim(lineage: () => string): Promise<Position | undefined> {
    const claim = this.#leases.claim(this.#partition, lineage);
    this.#lastClaim = claim.catch(() => {});
    return claim;
  }

  /** Gives the lease up, if it is ours. `published`: the position through which the partition is published. */
  async release(published: Position): Promise<void> {
    await this.#lastClaim;
    await this.#leases.release(this.#partition, published);
  }
}
