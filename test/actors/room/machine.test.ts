/** Every state of a room × every input. A state, an input or a cell that is missing does not compile. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createActor } from "xstate";
import { ROOM_TRANSITIONS, type RoomInput, type RoomState, roomLogic } from "../../../actors/room/machine.ts";
import { Room } from "../../../actors/room/room.ts";
import { ROOM } from "../../support/example-room.ts";
import { listedTransitions, tabledTransitions } from "../../support/transitions.ts";

type Input = RoomInput["type"];
type Effect = "fold" | "report";
type Cell = RoomState | `${RoomState} / ${Effect}` | typeof _;

/** Nothing changes, and nothing is done. */
const _ = "";
const FAILED = "failed / report";

// biome-ignore format: a table
const CELLS: Record<RoomState, Record<Input, Cell>> = {
  loading:        { LOADED: "clean", BATCH: _,                       STORE: _,         STORED: _,         PASSIVATE: _,            FAIL: FAILED },
  clean:          { LOADED: _,       BATCH: "changed / fold",        STORE: _,         STORED: _,         PASSIVATE: "passivated", FAIL: FAILED },
  changed:        { LOADED: _,       BATCH: "changed / fold",        STORE: "storing", STORED: _,         PASSIVATE: _,            FAIL: FAILED },
  storing:        { LOADED: _,       BATCH: "storingChanged / fold", STORE: _,         STORED: "clean",   PASSIVATE: _,            FAIL: FAILED },
  storingChanged: { LOADED: _,       BATCH: "storingChanged / fold", STORE: _,         STORED: "changed", PASSIVATE: _,            FAIL: FAILED },
  passivated:     { LOADED: _,       BATCH: _,                       STORE: _,         STORED: _,         PASSIVATE: _,            FAIL: _ },
  failed:         { LOADED: _,       BATCH: _,                       STORE: _,         STORED: _,         PASSIVATE: _,            FAIL: _ },
};

/** How to get to each state. */
const WAYS: Record<RoomState, readonly Input[]> = {
  loading: [],
  clean: ["LOADED"],
  changed: ["LOADED", "BATCH"],
  storing: ["LOADED", "BATCH", "STORE"],
  storingChanged: ["LOADED", "BATCH", "STORE", "BATCH"],
  passivated: ["LOADED", "PASSIVATE"],
  failed: ["LOADED", "FAIL"],
};

const INPUT: { readonly [I in Input]: Extract<RoomInput, { readonly type: I }> } = {
  LOADED: { type: "LOADED", room: new Room(ROOM, 0) },
  BATCH: { type: "BATCH", records: [] },
  STORE: { type: "STORE" },
  STORED: { type: "STORED" },
  PASSIVATE: { type: "PASSIVATE" },
  FAIL: { type: "FAIL", error: new Error("the disk is gone") },
};

function startAt(state: RoomState, fold: () => void = () => {}) {
  const effects: Effect[] = [];
  const failures: unknown[] = [];
  const logic = roomLogic({
    fold: () => {
      effects.push("fold");
      fold();
    },
    report: (error) => {
      effects.push("report");
      failures.push(error);
    },
  });
  const actor = createActor(logic).start();
  for (const input of WAYS[state]) actor.send(INPUT[input]);
  assert.is(actor.getSnapshot().state, state);
  effects.length = 0;
  return { actor, effects, failures };
}

const room = suite("the room machine");

for (const [state, row] of Object.entries(CELLS) as [RoomState, Record<Input, Cell>][]) {
  for (const [input, cell] of Object.entries(row) as [Input, Cell][]) {
    room(`${state}: ${input} → ${cell === _ ? "nothing" : cell}`, () => {
      const { actor, effects } = startAt(state);
      const before = actor.getSnapshot();
      actor.send(INPUT[input]);
      const after = actor.getSnapshot();
      if (cell === _) {
        assert.is(after, before);
        assert.equal(effects, []);
      } else {
        assert.is([after.state, ...effects].join(" / "), cell);
      }
    });
  }
}

room("has the transitions that its head comment lists", async () => {
  const effects = { BATCH: "fold", FAIL: "report" };
  assert.equal(await listedTransitions("actors/room/machine.ts"), tabledTransitions(ROOM_TRANSITIONS, effects));
});

room("has the room that was loaded, in every state after that", () => {
  for (const state of Object.keys(WAYS) as RoomState[]) {
    const { room: loaded } = startAt(state).actor.getSnapshot();
    assert.is(loaded, state === "loading" ? undefined : INPUT.LOADED.room);
  }
});

room("is over when it is passivated or has failed, so that nothing holds its actor", () => {
  const over = (Object.keys(WAYS) as RoomState[]).filter(
    (state) => startAt(state).actor.getSnapshot().status === "done",
  );
  assert.equal(over, ["passivated", "failed"]);
});

room("whose fold throws fails, and says why once", () => {
  const error = new Error("an invariant is broken");
  const { actor, effects, failures } = startAt("clean", () => {
    throw error;
  });
  actor.send(INPUT.BATCH);
  actor.send(INPUT.BATCH);
  assert.is(actor.getSnapshot().state, "failed");
  assert.equal(effects, ["fold", "report"]);
  assert.is(failures[0], error);
});

room.run();
