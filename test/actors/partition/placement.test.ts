import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type Assignment,
  assignmentOf,
  CLAIM_STAGGER_MS,
  type PartitionView,
  ranking,
} from "../../../actors/partition/placement.ts";
import { check } from "../../support/property.ts";

const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,12}$/), { minLength: 1, maxLength: 8 });
const PARTITIONS = Array.from({ length: 64 }, (_, i) => i);

const view = (more: Partial<PartitionView> = {}): PartitionView => ({
  me: "a",
  ranking: ["a", "b", "c"],
  owner: undefined,
  freeMs: 0,
  isWarm: () => true,
  ...more,
});

const placement = suite("placement");

placement("a worker that joins or leaves moves only its own share of the partitions", () => {
  check(
    fc.property(names, fc.integer({ min: 0, max: 7 }), (workers, at) => {
      const gone = workers[at % workers.length]!;
      const left = workers.filter((worker) => worker !== gone);
      for (const partition of PARTITIONS) {
        assert.equal(
          ranking(partition, workers).filter((worker) => worker !== gone),
          ranking(partition, left),
        );
      }
    }),
  );
});

placement("the order of the workers makes no difference", () => {
  check(
    fc.property(names, (workers) => {
      assert.equal(ranking(3, workers), ranking(3, [...workers].reverse()));
    }),
  );
});

placement("partitions are spread evenly, even over workers with similar names", () => {
  const workers = ["host-1", "host-2", "host-3", "host-4"];
  const shares = new Map<string, number>();
  for (const partition of Array.from({ length: 1_000 }, (_, i) => i)) {
    const first = ranking(partition, workers)[0]!;
    shares.set(first, (shares.get(first) ?? 0) + 1);
  }
  for (const worker of workers) assert.ok(shares.get(worker)! > 180, `${worker} has ${shares.get(worker)} of 1000`);
});

const TABLE: [what: string, assignment: Assignment, view: Partial<PartitionView>][] = [
  ["the first owns what it holds", "own", { owner: "a" }],
  ["another owns what it holds while the first is cold", "own", { me: "b", owner: "b", isWarm: (w) => w === "b" }],
  ["another hands over to the first once that is warm", "handOver", { me: "b", owner: "b" }],
  ["the first stands by while another holds it", "standby", { owner: "b" }],
  ["the second stands by", "standby", { me: "b", owner: "a" }],
  ["the third has nothing to do", "none", { me: "c", owner: "a" }],
  [
    "the third goes on standing by until the second is warm",
    "standby",
    { me: "c", owner: "a", isWarm: (w) => w === "c" },
  ],
  ["who can't serve it has nothing to do", "none", { me: "d" }],
  ["the first claims what is free", "claim", {}],
  ["the second leaves what is free to the first", "standby", { me: "b" }],
  ["the second claims what stays free", "claim", { me: "b", freeMs: CLAIM_STAGGER_MS }],
  ["a warm second claims before a cold first", "claim", { me: "b", isWarm: (w) => w === "b" }],
  ["a cold first lets the warm second claim", "standby", { isWarm: (w) => w === "b" }],
  ["the first claims when nobody is warm", "claim", { isWarm: () => false }],
  ["the third claims what nobody else takes", "claim", { me: "c", freeMs: 2 * CLAIM_STAGGER_MS }],
];

for (const [what, assignment, more] of TABLE) {
  placement(what, () => {
    assert.is(assignmentOf(view(more)), assignment);
  });
}

placement("at most one worker has to claim at a time, and one always has to in the end", () => {
  check(
    fc.property(names, fc.func(fc.boolean()), (workers, isWarm) => {
      const ranked = ranking(0, workers);
      const claimants = (freeMs: number) =>
        ranked.filter((me) => assignmentOf({ me, ranking: ranked, owner: undefined, freeMs, isWarm }) === "claim");
      assert.is(claimants(0).length, 1);
      assert.is(claimants(CLAIM_STAGGER_MS * workers.length).length, workers.length);
    }),
  );
});

placement.run();
