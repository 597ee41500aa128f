/**
 * What a room is while it is in memory: its state as the fold has it (`room.ts`), and how much of that the store has.
 *
 * - `loading`: its actor is made, and its state not read yet.
 * - `clean`: the store has all of it.
 * - `changed`: it has changed since it was loaded or last stored.
 * - `storing`: a checkpoint is under way that has all its changes.
 * - `storingChanged`: a checkpoint is under way, and it has changed since that was begun.
 * - `passivated`: it has left memory. Only a clean room can.
 * - `failed`: an invariant of the fold is broken, or the store can't be read. Its partition fails with it.
 *
 * The last two are final. It gets one BATCH per fetch, not one input per entry: an input costs a microsecond, an entry
 * less. Every transition; other inputs change nothing:
 *
 *     loading         ── LOADED ───────▶ clean
 *     clean           ── BATCH / fold ─▶ changed
 *     clean           ── PASSIVATE ────▶ passivated
 *     changed         ── BATCH / fold ─▶ changed
 *     changed         ── STORE ────────▶ storing
 *     storing         ── BATCH / fold ─▶ storingChanged
 *     storing         ── STORED ───────▶ clean
 *     storingChanged  ── BATCH / fold ─▶ storingChanged
 *     storingChanged  ── STORED ───────▶ changed
 *     loading, clean, changed, storing, storingChanged ── FAIL / report ──▶ failed
 *
 * It is an XState actor whose logic is this table, and not a statechart, whose transitions cost ten times as much
 * (docs/adr/0014-rooms-are-a-table.md).
 */
import type { ActorLogic, ActorRefFrom, Snapshot } from "xstate";
import type { LogRecord } from "../entry.ts";
import type { Room } from "./room.ts";

export type RoomState = "loading" | "clean" | "changed" | "storing" | "storingChanged" | "passivated" | "failed";

export type RoomInput =
  | { readonly type: "LOADED"; readonly room: Room }
  | { readonly type: "BATCH"; readonly records: readonly LogRecord[] }
  | { readonly type: "STORE" }
  | { readonly type: "STORED" }
  | { readonly type: "PASSIVATE" }
  | { readonly type: "FAIL"; readonly error: unknown };

export type RoomTransitions = { readonly [S in RoomState]: { readonly [I in RoomInput["type"]]?: RoomState } };

export const ROOM_TRANSITIONS: RoomTransitions = {
  loading: { LOADED: "clean", FAIL: "failed" },
  clean: { BATCH: "changed", PASSIVATE: "passivated", FAIL: "failed" },
  changed: { BATCH: "changed", STORE: "storing", FAIL: "failed" },
  storing: { BATCH: "storingChanged", STORED: "clean", FAIL: "failed" },
  storingChanged: { BATCH: "storingChanged", STORED: "changed", FAIL: "failed" },
  passivated: {},
  failed: {},
};

type RoomSnapshot = Snapshot<undefined> & {
  readonly state: RoomState;
  /** undefined until it is loaded. */
  readonly room: Room | undefined;
};

export type RoomLogic = ActorLogic<RoomSnapshot, RoomInput>;
export type RoomActor = ActorRefFrom<RoomLogic>;

interface RoomEffects {
  /** Folds a batch. When it throws, the room fails. */
  readonly fold: (room: Room, records: readonly LogRecord[]) => void;
  /** Called when the room fails. */
  readonly report: (error: unknown) => void;
}

export function roomLogic({ fold, report }: RoomEffects): RoomLogic {
  return {
    getInitialSnapshot: () => ({
      status: "active",
      output: undefined,
      error: undefined,
      state: "loading",
      room: undefined,
    }),
    getPersistedSnapshot: (snapshot) => snapshot,
    transition: (snapshot, input, { self, defer }) => {
      const state = ROOM_TRANSITIONS[snapshot.state][input.type];
      if (state === undefined) return snapshot;
      const room = input.type === "LOADED" ? input.room : snapshot.room;
      if (input.type === "FAIL") defer(() => report(input.error));
      if (input.type === "BATCH") {
        defer(() => {
          try {
            fold(room!, input.records);
          } catch (error) {
            self.send({ type: "FAIL", error });
          }
        });
      }
      if (state === snapshot.state) return snapshot;
      const isOver = state === "passivated" || state === "failed";
      return { status: isOver ? "done" : "active", output: undefined, error: undefined, state, room };
    },
  };
}
