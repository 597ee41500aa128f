/**
 * Every state of a partition × everything that can happen to it. A state, an input or a cell that is missing does not
 * compile.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createActor, fromCallback, fromPromise, type SnapshotFrom } from "xstate";
import { type PartitionInput, partitionMachine } from "../../../actors/partition/machine.ts";
import { definedTransitions, listedTransitions } from "../../support/transitions.ts";

type Snapshot = SnapshotFrom<typeof partitionMachine>;
type PathOf<V> = V extends string ? V : { [K in keyof V & string]: `${K}.${V[K] & string}` }[keyof V & string];
type State = PathOf<Snapshot["value"]>;
type Input = PartitionInput["type"];
/** How an actor ends that the partition waits for; `broken`: the one that is running rejects. */
type Result = "opened" | "won" | "lost" | "finished" | "drained" | "broken";
type Effect = "fold" | "abandon" | "report";
type Cell = State | `${State} / ${Effect}` | typeof _;

/** Nothing changes, and nothing is done. */
const _ = "";
const GIVEN_UP = "released / abandon";
const FAILED = "failed / report";

// biome-ignore format: a table
const INPUTS: Record<State, Record<Input, Cell>> = {
  "opening":          { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: "released",        LOSE: GIVEN_UP, FAIL: FAILED },
  "standby.cold":     { CLAIM: "claiming.cold", RECORDS: "standby.cold / fold",     CAUGHT_UP: "standby.warm", DRAIN: "draining",        LOSE: GIVEN_UP, FAIL: FAILED },
  "standby.warm":     { CLAIM: "claiming.warm", RECORDS: "standby.warm / fold",     CAUGHT_UP: _,              DRAIN: "draining",        LOSE: GIVEN_UP, FAIL: FAILED },
  "claiming.cold":    { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: "draining",        LOSE: GIVEN_UP, FAIL: FAILED },
  "claiming.warm":    { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: "draining",        LOSE: GIVEN_UP, FAIL: FAILED },
  "owner.catchingUp": { CLAIM: _,               RECORDS: "owner.catchingUp / fold", CAUGHT_UP: "owner.live",   DRAIN: "draining",        LOSE: GIVEN_UP, FAIL: FAILED },
  "owner.live":       { CLAIM: _,               RECORDS: "owner.live / fold",       CAUGHT_UP: _,              DRAIN: "owner.finishing", LOSE: GIVEN_UP, FAIL: FAILED },
  "owner.finishing":  { CLAIM: _,               RECORDS: "owner.finishing / fold",  CAUGHT_UP: _,              DRAIN: _,                 LOSE: GIVEN_UP, FAIL: FAILED },
  "draining":         { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: _,                 LOSE: _,        FAIL: FAILED },
  "released":         { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: _,                 LOSE: _,        FAIL: _ },
  "failed":           { CLAIM: _,               RECORDS: _,                         CAUGHT_UP: _,              DRAIN: _,                 LOSE: _,        FAIL: _ },
};

// biome-ignore format: a table
const RESULTS: Record<State, Record<Result, Cell>> = {
  "opening":          { opened: "standby.cold", won: _,                  lost: _,              finished: _,          drained: _,          broken: FAILED },
  "standby.cold":     { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
  "standby.warm":     { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
  "claiming.cold":    { opened: _,              won: "owner.catchingUp", lost: "standby.cold", finished: _,          drained: _,          broken: FAILED },
  "claiming.warm":    { opened: _,              won: "owner.catchingUp", lost: "standby.warm", finished: _,          drained: _,          broken: FAILED },
  "owner.catchingUp": { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
  "owner.live":       { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
  "owner.finishing":  { opened: _,              won: _,                  lost: _,              finished: "draining", drained: _,          broken: FAILED },
  "draining":         { opened: _,              won: _,                  lost: _,              finished: _,          drained: "released", broken: FAILED },
  "released":         { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
  "failed":           { opened: _,              won: _,                  lost: _,              finished: _,          drained: _,          broken: _ },
};

interface About {
  /** How to get there. */
  readonly way: readonly (Input | Result)[];
  /** The actors that run there. */
  readonly runs: readonly ("open" | "follow" | "claim" | "read" | "finish" | "drain")[];
  readonly tags: readonly ("warm" | "serving")[];
}

const STATES: Record<State, About> = {
  opening: { way: [], runs: ["open"], tags: [] },
  "standby.cold": { way: ["opened"], runs: ["follow"], tags: [] },
  "standby.warm": { way: ["opened", "CAUGHT_UP"], runs: ["follow"], tags: ["warm"] },
  "claiming.cold": { way: ["opened", "CLAIM"], runs: ["claim"], tags: [] },
  "claiming.warm": { way: ["opened", "CAUGHT_UP", "CLAIM"], runs: ["claim"], tags: ["warm"] },
  "owner.catchingUp": { way: ["opened", "CAUGHT_UP", "CLAIM", "won"], runs: ["read"], tags: [] },
  "owner.live": { way: ["opened", "CLAIM", "won", "CAUGHT_UP"], runs: ["read"], tags: ["warm", "serving"] },
  "owner.finishing": {
    way: ["opened", "CLAIM", "won", "CAUGHT_UP", "DRAIN"],
    runs: ["read", "finish"],
    tags: ["warm", "serving"],
  },
  // On this way, the opening and the claim are over or stopped, and their results come too late.
  draining: { way: ["opened", "CLAIM", "DRAIN"], runs: ["drain"], tags: [] },
  released: { way: ["DRAIN"], runs: [], tags: [] },
  failed: { way: ["opened", "CLAIM", "FAIL"], runs: [], tags: [] },
};

const ERROR = new Error("an invariant is broken");
const INPUT: { readonly [I in Input]: Extract<PartitionInput, { readonly type: I }> } = {
  CLAIM: { type: "CLAIM" },
  RECORDS: { type: "RECORDS", fetch: [] },
  CAUGHT_UP: { type: "CAUGHT_UP" },
  DRAIN: { type: "DRAIN" },
  LOSE: { type: "LOSE" },
  FAIL: { type: "FAIL", error: ERROR },
};

class Deferred<T> {
  resolve!: (value: T) => void;
  reject!: (reason: Error) => void;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.promise.catch(() => {}); // Not every actor is started.
  }
}

/** A partition whose actors end when the test says so. */
class Driven {
  readonly #effects: Effect[] = [];
  readonly #opening = new Deferred<void>();
  readonly #claiming = new Deferred<boolean>();
  readonly #finishing = new Deferred<void>();
  readonly #draining = new Deferred<void>();
  readonly #actor;

  constructor() {
    const did = (effect: Effect) => () => {
      this.#effects.push(effect);
    };
    const machine = partitionMachine.provide({
      actors: {
        open: fromPromise(() => this.#opening.promise),
        follow: fromCallback<PartitionInput, undefined, PartitionInput>(() => {}),
        claim: fromPromise(() => this.#claiming.promise),
        read: fromCallback<PartitionInput, undefined, PartitionInput>(() => {}),
        finish: fromPromise(() => this.#finishing.promise),
        drain: fromPromise(() => this.#draining.promise),
      },
      actions: { fold: did("fold"), abandon: did("abandon"), report: did("report") },
    });
    this.#actor = createActor(machine).start();
  }

  static async at(state: State): Promise<Driven> {
    const driven = new Driven();
    for (const step of STATES[state].way) await driven.do(step);
    assert.is(driven.state, state);
    driven.#effects.length = 0;
    return driven;
  }

  get snapshot(): Snapshot {
    return this.#actor.getSnapshot();
  }

  get state(): string {
    const { value } = this.snapshot;
    return typeof value === "string" ? value : Object.entries(value).flat().join(".");
  }

  /** What became of the state that it was in, as a cell has it. */
  became(before: string): string {
    const after = [this.state, ...this.#effects].join(" / ");
    return after === before ? _ : after;
  }

  async do(step: Input | Result): Promise<void> {
    const results: Record<Result, () => void> = {
      opened: () => this.#opening.resolve(),
      won: () => this.#claiming.resolve(true),
      lost: () => this.#claiming.resolve(false),
      finished: () => this.#finishing.resolve(),
      drained: () => this.#draining.resolve(),
      broken: () => {
        for (const each of [this.#opening, this.#claiming, this.#finishing, this.#draining]) each.reject(ERROR);
      },
    };
    if (step in INPUT) this.#actor.send(INPUT[step as Input]);
    else results[step as Result]();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const partition = suite("the partition machine");

for (const table of [INPUTS, RESULTS]) {
  for (const [state, row] of Object.entries(table) as [State, Record<string, Cell>][]) {
    for (const [step, cell] of Object.entries(row) as [Input | Result, Cell][]) {
      partition(`${state}: ${step} → ${cell === _ ? "nothing" : cell}`, async () => {
        const driven = await Driven.at(state);
        await driven.do(step);
        assert.is(driven.became(state), cell);
      });
    }
  }
}

for (const [state, { runs, tags }] of Object.entries(STATES) as [State, About][]) {
  partition(
    `${state} runs ${runs.join(" and ") || "nothing"}, and is ${tags.join(" and ") || "neither warm nor serving"}`,
    async () => {
      const { snapshot } = await Driven.at(state);
      const running = Object.values(snapshot.children).map((child) => child?.src);
      assert.equal(running, runs);
      assert.equal([...snapshot.tags], tags);
    },
  );
}

partition("a failed one says why", async () => {
  for (const step of ["FAIL", "broken"] as const) {
    const driven = await Driven.at("claiming.warm");
    assert.is(driven.snapshot.context.failure, undefined);
    await driven.do(step);
    assert.is(driven.snapshot.context.failure, ERROR);
  }
});

partition(
  "input that changes no state leaves the snapshot as it is, so that who follows it has little to do",
  async () => {
    for (const state of ["standby.cold", "standby.warm", "owner.catchingUp", "owner.live"] as const) {
      const driven = await Driven.at(state);
      const before = driven.snapshot;
      await driven.do("RECORDS");
      assert.is(driven.snapshot, before);
    }
  },
);

partition("has the transitions that its head comment lists", async () => {
  assert.equal(await listedTransitions("actors/partition/machine.ts"), definedTransitions(partitionMachine));
});

partition.run();
