/**
 * What a partition is at one worker, from the opening of its checkpoint until the worker gives it up
 * (docs/design.md#workers).
 *
 * A partition is a fixed share of the rooms, with a log of its own. One worker owns it: it folds the whole log and publishes
 * what follows from it. Another one stands by: it folds what the owner has published, and publishes nothing, so that it
 * can go on at once when the owner is gone. Both run this machine.
 *
 * - `opening`: the checkpoint is opened.
 * - `standby`: what the owner has published is folded; `cold` until that was caught up with once, then `warm`.
 * - `claiming`: the worker tries to get the owner lease. Nothing is folded meanwhile.
 * - `owner`: the whole log is folded; `catchingUp` with what was in it at the beginning, then `live`, and `finishing` with
 *   what was appended before the owner was asked to leave.
 * - `draining`: what waits is published, the lease given up, and a checkpoint written.
 * - `released`: other workers have the partition.
 * - `failed`: something is broken that a person has to look at. Other workers may be able to serve the partition.
 *
 * The last two are final: a worker that stands by again starts another machine. LOSE is for a lease that ran out: what is
 * not published or saved by then is given up, because the next owner does that as well.
 *
 * Every transition; a state stands for those inside it, and an arrow to the state that it comes from stays in it:
 *
 *     opening          ── open done ───────────▶ standby.cold
 *     standby          ── RECORDS / fold ──────▶ standby
 *     standby.cold     ── CAUGHT_UP ───────────▶ standby.warm
 *     standby.cold     ── CLAIM ───────────────▶ claiming.cold
 *     standby.warm     ── CLAIM ───────────────▶ claiming.warm
 *     claiming         ── claim done [won] ────▶ owner.catchingUp
 *     claiming         ── claim done [warm] ───▶ standby.warm
 *     claiming         ── claim done ──────────▶ standby.cold
 *     owner            ── RECORDS / fold ──────▶ owner
 *     owner.catchingUp ── CAUGHT_UP ───────────▶ owner.live
 *     owner.live       ── DRAIN ───────────────▶ owner.finishing
 *     owner.finishing  ── finish done ─────────▶ draining
 *     standby, claiming, owner.catchingUp ── DRAIN ──▶ draining
 *     draining         ── drain done ──────────▶ released
 *     opening          ── DRAIN ───────────────▶ released
 *     opening, standby, claiming, owner ── LOSE / abandon ──▶ released
 *     opening, standby, claiming, owner, draining ── FAIL / keepError ──▶ failed
 *     opening          ── open error / keepError ────▶ failed
 *     claiming         ── claim error / keepError ───▶ failed
 *     owner.finishing  ── finish error / keepError ──▶ failed
 *     draining         ── drain error / keepError ───▶ failed
 */
import { assign, type CallbackActorLogic, type PromiseActorLogic, setup, stateIn } from "xstate";
import type { PlacedRecord } from "../entry.ts";

export type PartitionInput =
  | { readonly type: "CLAIM" }
  | { readonly type: "RECORDS"; readonly fetch: readonly PlacedRecord[] }
  | { readonly type: "CAUGHT_UP" }
  | { readonly type: "DRAIN" }
  | { readonly type: "LOSE" }
  | { readonly type: "FAIL"; readonly error: unknown };

/** Reads until it is stopped, and sends the partition what it reads. */
type Reading = CallbackActorLogic<PartitionInput, undefined, PartitionInput>;

/** What runs in a state and is stopped with it; `src/worker/partition.ts` provides it. */
type PartitionActors = {
  /** Opens the checkpoint. */
  readonly open: PromiseActorLogic<void>;
  /** Sends what the owner has published, after what is folded; CAUGHT_UP once that is all. */
  readonly follow: Reading;
  /** Tries to get the lease; resolves to whether this worker is the owner now. */
  readonly claim: PromiseActorLogic<boolean>;
  /** Sends the log, after what is folded; CAUGHT_UP once everything was sent that it had at the beginning. */
  readonly read: Reading;
  /** Resolves once everything is folded that the log has now. */
  readonly finish: PromiseActorLogic<void>;
  /** Publishes what waits, gives the lease up, writes a checkpoint. */
  readonly drain: PromiseActorLogic<void>;
};

const fold = {
  type: "fold",
  params: ({ event }: { event: { readonly fetch: readonly PlacedRecord[] } }) => ({ fetch: event.fetch }),
} as const;

const lose = { target: "#partition.released", actions: "abandon" } as const;

const fail = {
  target: "#partition.failed",
  actions: {
    type: "keepError",
    params: ({ event }: { event: { readonly error: unknown } }) => ({ error: event.error }),
  },
} as const;

export const partitionMachine = setup({
  types: {
    /** `failure`: why it is `failed`. */
    context: {} as { readonly failure: unknown },
    events: {} as PartitionInput,
    /** `warm`: it is the owner, or could be at once. `serving`: it answers questions about its rooms. */
    tags: {} as "warm" | "serving",
  },
  actors: {} as PartitionActors,
  actions: {
    fold: (_, _params: { readonly fetch: readonly PlacedRecord[] }) => notProvided("fold"),
    /** Publishes and writes nothing more. */
    abandon: () => notProvided("abandon"),
    /** Says why the partition failed (`failure`), and gives the lease up. */
    report: () => notProvided("report"),
    keepError: assign({ failure: (_, { error }: { readonly error: unknown }) => error }),
  },
  guards: {
    won: ({ event }) => "output" in event && event.output === true,
    warm: stateIn({ claiming: "warm" }),
  },
}).createMachine({
  id: "partition",
  context: { failure: undefined },
  initial: "opening",
  states: {
    opening: {
      invoke: { src: "open", onDone: "standby", onError: fail },
      on: { DRAIN: "released", LOSE: lose, FAIL: fail },
    },
    standby: {
      invoke: { src: "follow" },
      initial: "cold",
      states: {
        cold: { on: { CAUGHT_UP: "warm", CLAIM: "#partition.claiming.cold" } },
        warm: { tags: "warm", on: { CLAIM: "#partition.claiming.warm" } },
      },
      on: { RECORDS: { actions: fold }, DRAIN: "draining", LOSE: lose, FAIL: fail },
    },
    claiming: {
      invoke: {
        src: "claim",
        onDone: [
          { guard: "won", target: "owner" },
          { guard: "warm", target: "standby.warm" },
          { target: "standby.cold" },
        ],
        onError: fail,
      },
      initial: "cold",
      states: { cold: {}, warm: { tags: "warm" } },
      on: { DRAIN: "draining", LOSE: lose, FAIL: fail },
    },
    owner: {
      invoke: { src: "read" },
      initial: "catchingUp",
      states: {
        catchingUp: { on: { CAUGHT_UP: "live", DRAIN: "#partition.draining" } },
        live: { tags: ["warm", "serving"], on: { DRAIN: "finishing" } },
        finishing: {
          tags: ["warm", "serving"],
          invoke: { src: "finish", onDone: "#partition.draining", onError: fail },
        },
      },
      on: { RECORDS: { actions: fold }, LOSE: lose, FAIL: fail },
    },
    draining: {
      invoke: { src: "drain", onDone: "released", onError: fail },
      on: { FAIL: fail },
    },
    released: { type: "final" },
    failed: { type: "final", entry: "report" },
  },
});

function notProvided(action: string): never {
  throw new Error(`the partition machine was started without its action ${action}`);
}
