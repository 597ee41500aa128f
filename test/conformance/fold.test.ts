/** The server's vectors, through the fold: what a room is then, and what became of each step. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { receiptEvent } from "../../actors/partition/changes.ts";
import type { ServerStep, ServerVector } from "../../scripts/conformance/vectors.ts";
import { userId } from "../../src/matrix/ids.ts";
import { FULLY_READ, READ, READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import { backfilled, history, live, receipt, state } from "../support/entries.ts";
import { describe, Story } from "../support/given.ts";
import { type Answers, Comparison, joinsOf, vectorsOf } from "../support/vectors.ts";
import { wrongServerVectors } from "../support/wrong-vectors.ts";

const ARRIVED = { live, history, backfill: backfilled };

function entriesOf(step: ServerStep): Entry[] {
  if ("event" in step) return [ARRIVED[step.arrives](step.event.event_id, step.event)];
  if ("state" in step) return step.state.map((event) => state(event.event_id, event));
  const { user_id: user, receipt_type: type, event_id: event, thread_id, thread_known, ...rest } = step.receipt;
  const thread = thread_known === false ? "?" : thread_id;
  return [receipt(userId.parse(user), event, { type, ...rest, ...(thread !== undefined && { thread }) })];
}

function of<V>(events: readonly string[], value: (event: string) => V): Record<string, V> {
  return Object.fromEntries(events.map((event) => [event, value(event)]));
}

function answersOf(story: Story): Answers {
  return {
    orders: async (events) => of(events, (event) => story.order(event) ?? null),
    receipts: async (user) => {
      const isShown = (marker: { type: string; user: string }) =>
        marker.type === READ || (marker.type === READ_PRIVATE && marker.user === user);
      return receiptEvent(story.markers().filter(isShown)).content;
    },
    fullyRead: async (user) => story.marker(userId.parse(user), { type: FULLY_READ })?.event,
    read: async (user, events) => of(events, (event) => story.isRead(userId.parse(user), event)),
    unread: async (user) => {
      const { unthreaded: total, main, threads } = story.unread(userId.parse(user));
      return { total, main, threads };
    },
    threads: async (events) => of(events, (event) => story.thread(event) ?? null),
  };
}

/** Returns what differs from the vector, a line each. */
async function faultsInFold(vector: ServerVector): Promise<readonly string[]> {
  const story = new Story();
  const comparison = new Comparison(vector);
  const outcomes: (string | undefined)[] = [];
  for (const event of joinsOf(vector)) story.fold(state(event.event_id, event));
  for (const step of vector.steps) {
    const [outcome] = entriesOf(step).map((entry) => describe(story.fold(entry))[0]);
    outcomes.push(outcome);
    await comparison.compare(step, answersOf(story));
  }
  const expected = vector.steps.map(({ outcome }, i) => outcome ?? outcomes[i]);
  const others = outcomes.flatMap((outcome, i) =>
    outcome === expected[i] ? [] : [`${vector.name}, step ${i + 1}: ${outcome}, not ${expected[i]}`],
  );
  return [...comparison.faults, ...others];
}

const vectors = suite("the server's vectors, through the fold");

const server = await vectorsOf("server");

for (const vector of server) {
  vectors(`${vector.name}: ${vector.title}`, async () => assert.equal(await faultsInFold(vector), []));
}

vectors("each expectation, changed alone, is noticed", async () => {
  const wrong = server.flatMap(wrongServerVectors);
  assert.ok(wrong.length > 500, `${wrong.length} changes`);
  for (const vector of wrong) {
    assert.ok((await faultsInFold(vector)).length > 0, JSON.stringify(vector.steps.map(({ expect }) => expect)));
  }
});

vectors.run();
