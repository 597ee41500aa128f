/**
 * A room's actor.
 *
 *     activating ──▶ live ──PASSIVATE──▶ passivated
 *         └────────── FAIL ──▶ failed
 *
 * It gets one BATCH per room and fetch, not one input per entry: an input costs microseconds, an entry a fraction of
 * one. The statechart owns the lifecycle, the fold owns the data. What an entry did goes to `folded`, which must not
 * throw. A fold that throws has met a broken invariant: the room fails, and its partition with it.
 */
import { setup } from "xstate";
import type { RoomId } from "../../src/matrix/ids.ts";
import type { LogRecord } from "../entry.ts";
import { type Folded, foldRecord } from "./fold.ts";
import { Room, type RoomStore } from "./room.ts";

interface RoomInput {
  readonly id: RoomId;
  readonly store: RoomStore;
  readonly folded: Folded;
  readonly failed: (error: unknown) => void;
}

interface RoomContext extends RoomInput {
  room: Room;
}

type RoomEvent =
  | { readonly type: "BATCH"; readonly records: readonly LogRecord[] }
  | { readonly type: "PASSIVATE" }
  | { readonly type: "FAIL"; readonly error: unknown };

export const roomMachine = setup({
  types: { input: {} as RoomInput, context: {} as RoomContext, events: {} as RoomEvent },
  actions: {
    load: ({ context, self }) => {
      try {
        context.room = context.store.load(context.id);
      } catch (error) {
        self.send({ type: "FAIL", error });
      }
    },
    fold: ({ context, self }, { records }: { records: readonly LogRecord[] }) => {
      try {
        for (const record of records) foldRecord(context.room, record, context.folded);
      } catch (error) {
        self.send({ type: "FAIL", error });
      }
    },
    report: ({ context }, { error }: { error: unknown }) => context.failed(error),
  },
}).createMachine({
  id: "room",
  context: ({ input }) => ({ ...input, room: new Room(input.id) }),
  initial: "activating",
  on: { FAIL: { target: ".failed", actions: { type: "report", params: ({ event }) => ({ error: event.error }) } } },
  states: {
    activating: { entry: "load", always: "live" },
    live: {
      on: {
        BATCH: { actions: { type: "fold", params: ({ event }) => ({ records: event.records }) } },
        PASSIVATE: "passivated",
      },
    },
    passivated: { type: "final" },
    failed: {},
  },
});
