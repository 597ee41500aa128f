/**
 * First syncs, and those with all state: a user has one at a time, and equal ones share an answer. A client that gives up and
 * asks again, or a user with many devices, costs no more than one that waits.
 */
import { MatrixError } from "../../http/matrix-error.ts";
import { COSTLY_SYNCS_WAITING_MAX } from "../../limits.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { SyncAnswer, SyncRequest } from "./sync-response.ts";

interface Costly {
  readonly request: SyncRequest;
  readonly answer: Promise<SyncAnswer>;
}

export class CostlySyncs {
  /** Under way and waiting, in this order. */
  readonly #byUser = new Map<UserId, Costly[]>();

  /** Rejects with `M_LIMIT_EXCEEDED` when too many of the user's requests wait. */
  answer(request: SyncRequest, work: () => Promise<SyncAnswer>): Promise<SyncAnswer> {
    const { user } = request.device;
    const all = this.#byUser.get(user) ?? [];
    const equal = all.find((other) => areEqual(other.request, request));
    if (equal !== undefined) return equal.answer;
    if (all.length > COSTLY_SYNCS_WAITING_MAX) {
      return Promise.reject(new MatrixError(429, "M_LIMIT_EXCEEDED", "Too many first syncs at a time", 1_000));
    }
    const before = all.at(-1)?.answer ?? Promise.resolve();
    const answer = before.then(work, work);
    const costly = { request, answer };
    this.#byUser.set(user, [...all, costly]);
    const ended = () => {
      const rest = this.#byUser.get(user)!.filter((other) => other !== costly);
      if (rest.length === 0) this.#byUser.delete(user);
      else this.#byUser.set(user, rest);
    };
    answer.then(ended, ended);
    return answer;
  }
}

/** A device gets its own transaction ids. */
function areEqual(a: SyncRequest, b: SyncRequest): boolean {
  return (
    a.device.id === b.device.id && a.filter === b.filter && a.fullState === b.fullState && a.sinceText === b.sinceText
  );
}
