/**
 * A partition's actor: who folds and publishes it now.
 *
 *                 ┌──────── lost ────────┐
 *                 ▼                      │
 *     START ─▶ standby ──── CLAIM ──▶ claiming ── won ──▶ catchingUp ─CAUGHT_UP─▶ live
 *                 │                      │                    └──────────┬──────────┘
 *                 └────────────── DRAIN ─┴──────────────▶ draining ──▶ released
 *                                                                        ▲ LOSE
 *                                  FAIL, from anywhere ──▶ failed
 *
 * A standby folds what the owner has published, and publishes nothing (`follow`). The owner (catching up, live) folds
 * everything: `read` sends RECORDS, and CAUGHT_UP once it has what was there when it began. In any other state records are
 * ignored, so a partition that was given up folds nothing more. LOSE is for a lease that ran out: there is nothing left to
 * publish or to save that the next owner does not do as well. `failed` is for what a person must see.
 */
import { fromCallback, fromPromise, setup } from "xstate";
import type { PlacedRecord } from "../entry.ts";

export type PartitionEvent =
  | { readonly type: "START" }
  | { readonly type: "CLAIM" }
  | { readonly type: "RECORDS"; readonly fetch: readonly PlacedRecord[] }
  | { readonly type: "CAUGHT_UP" }
  | { readonly type: "DRAIN" }
  | { readonly type: "LOSE" }
  | { readonly type: "FAIL"; readonly error: unknown };

type Send = (event: PartitionEvent) => void;

/** What a partition needs from outside: everything that does I/O. */
export interface PartitionInput {
  /** Reads what the owner has published, from what is folded on, until the returned function is called. */
  readonly follow: (send: Send) => () => void;
  /** Resolves to whether this process owns the partition now. */
  readonly claim: (signal: AbortSignal) => Promise<boolean>;
  /** Reads the log from what is folded on, until the returned function is called. */
  readonly read: (send: Send) => () => void;
  readonly fold: (fetch: readonly PlacedRecord[]) => void;
  /** Publishes what waits, gives the partition up, saves. */
  readonly drain: () => Promise<void>;
  /** Gives everything up that is not stored. */
  readonly abandon: () => void;
  readonly failed: (error: unknown) => void;
}

/** Tells the world why the partition failed. */
const report = {
  type: "report",
  params: ({ event }: { event: { readonly error: unknown } }) => ({ error: event.error }),
} as const;

const fold = {
  type: "fold",
  params: ({ event }: { event: { readonly fetch: readonly PlacedRecord[] } }) => ({ fetch: event.fetch }),
} as const;

export const partitionMachine = setup({
  types: { input: {} as PartitionInput, context: {} as PartitionInput, events: {} as PartitionEvent },
  actors: {
    follow: fromCallback<PartitionEvent, PartitionInput, PartitionEvent>(({ input, sendBack }) =>
      input.follow(sendBack),
    ),
    claim: fromPromise<boolean, PartitionInput>(({ input, signal }) => input.claim(signal)),
    read: fromCallback<PartitionEvent, PartitionInput, PartitionEvent>(({ input, sendBack }) => input.read(sendBack)),
    drain: fromPromise<void, PartitionInput>(({ input }) => input.drain()),
  },
  actions: {
    fold: ({ context }, { fetch }: { fetch: readonly PlacedRecord[] }) => context.fold(fetch),
    abandon: ({ context }) => context.abandon(),
    report: ({ context }, { error }: { error: unknown }) => context.failed(error),
  },
}).createMachine({
  id: "partition",
  context: ({ input }) => input,
  initial: "idle",
  states: {
    idle: { on: { START: "standby", DRAIN: "released", LOSE: "released" } },
    standby: {
      invoke: { src: "follow", input: ({ context }) => context },
      on: {
        RECORDS: { actions: fold },
        CLAIM: "claiming",
        DRAIN: "draining",
        LOSE: { target: "released", actions: "abandon" },
        FAIL: { target: "failed", actions: report },
      },
    },
    claiming: {
      invoke: {
        src: "claim",
        input: ({ context }) => context,
        onDone: [{ guard: ({ event }) => event.output, target: "folding" }, { target: "standby" }],
        onError: { target: "failed", actions: report },
      },
      on: {
        DRAIN: "draining",
        LOSE: { target: "released", actions: "abandon" },
        FAIL: { target: "failed", actions: report },
      },
    },
    folding: {
      invoke: { src: "read", input: ({ context }) => context },
      initial: "catchingUp",
      on: {
        RECORDS: { actions: fold },
        DRAIN: "draining",
        LOSE: { target: "released", actions: "abandon" },
        FAIL: { target: "failed", actions: report },
      },
      states: {
        catchingUp: { on: { CAUGHT_UP: "live" } },
        live: {},
      },
    },
    draining: {
      invoke: {
        src: "drain",
        input: ({ context }) => context,
        onDone: "released",
        onError: { target: "failed", actions: report },
      },
      on: { FAIL: { target: "failed", actions: report } },
    },
    released: { type: "final" },
    failed: { on: { DRAIN: "released", LOSE: "released" } },
  },
});
