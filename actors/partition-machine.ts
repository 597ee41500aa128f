/**
 * A partition's actor: who folds and publishes it now.
 *
 *     standby ─START─▶ claiming ─▶ catchingUp ─CAUGHT_UP─▶ live ─DRAIN─▶ draining ─▶ released
 *                                       └────────┬────────────┘
 *                                              FAIL ──▶ failed
 *
 * While it folds (catching up, live) it reads its log: `read` sends RECORDS, and CAUGHT_UP once it has everything that
 * was there when it began. In any other state records are ignored, so a partition that was given up folds nothing
 * more. `failed` is for what a person must see: it stays there, and folds nothing.
 */
import { fromCallback, fromPromise, setup } from "xstate";
import type { RoomRecord } from "./rooms.ts";

export type PartitionEvent =
  | { readonly type: "START" }
  | { readonly type: "RECORDS"; readonly fetch: readonly RoomRecord[] }
  | { readonly type: "CAUGHT_UP" }
  | { readonly type: "DRAIN" }
  | { readonly type: "FAIL"; readonly error: unknown };

/** What a partition needs from outside: everything that does I/O. */
export interface PartitionInput {
  /** Resolves when this process owns the partition. */
  readonly claim: (signal: AbortSignal) => Promise<void>;
  /** Reads the log from what is folded on, until the returned function is called. */
  readonly read: (send: (event: PartitionEvent) => void) => () => void;
  readonly fold: (fetch: readonly RoomRecord[]) => void;
  /** Publishes what waits, saves, gives the partition up. */
  readonly drain: () => Promise<void>;
  readonly failed: (error: unknown) => void;
}

/** Tells the world why the partition failed. */
const report = {
  type: "report",
  params: ({ event }: { event: { readonly error: unknown } }) => ({ error: event.error }),
} as const;

export const partitionMachine = setup({
  types: { input: {} as PartitionInput, context: {} as PartitionInput, events: {} as PartitionEvent },
  actors: {
    claim: fromPromise<void, PartitionInput>(({ input, signal }) => input.claim(signal)),
    read: fromCallback<PartitionEvent, PartitionInput, PartitionEvent>(({ input, sendBack }) => input.read(sendBack)),
    drain: fromPromise<void, PartitionInput>(({ input }) => input.drain()),
  },
  actions: {
    fold: ({ context }, { fetch }: { fetch: readonly RoomRecord[] }) => context.fold(fetch),
    report: ({ context }, { error }: { error: unknown }) => context.failed(error),
  },
}).createMachine({
  id: "partition",
  context: ({ input }) => input,
  initial: "standby",
  states: {
    standby: { on: { START: "claiming", DRAIN: "released" } },
    claiming: {
      invoke: {
        src: "claim",
        input: ({ context }) => context,
        onDone: "folding",
        onError: { target: "failed", actions: report },
      },
      on: { DRAIN: "released" },
    },
    folding: {
      invoke: { src: "read", input: ({ context }) => context },
      initial: "catchingUp",
      on: {
        RECORDS: { actions: { type: "fold", params: ({ event }) => ({ fetch: event.fetch }) } },
        DRAIN: "draining",
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
    failed: { on: { DRAIN: "released" } },
  },
});
