/** The client's vectors, through `ReadState`: in the sequence that is given, and in others. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ClientVector } from "../../scripts/conformance/vectors.ts";
import { ReadState } from "../../src/frontend/read-state.ts";
import { vectorsOf } from "../support/vectors.ts";
import { wrongClientVectors } from "../support/wrong-vectors.ts";

type Given = ClientVector["given"];

function stateOf(given: Given): ReadState {
  const room = new ReadState();
  for (const each of given) {
    if ("event" in each) room.note(each.event);
    else if ("receipts" in each) room.apply(each.receipts);
    else room.fullyRead(each.fully_read.user_id, each.fully_read);
  }
  return room;
}

/** What `ReadState` says of everything that a vector expects. */
function foundIn(room: ReadState, { expect }: ClientVector): ClientVector["expect"] {
  const { read, unread, threads } = expect;
  return {
    ...(read !== undefined && {
      read: mapped(read, (events, user) => mapped(events, (_, event) => room.isRead(event, user))),
    }),
    ...(unread !== undefined && {
      unread: mapped(unread, (_, user) => {
        const { total, main, threads } = room.unread(user);
        return { total, main, threads: Object.fromEntries(threads) };
      }),
    }),
    ...(threads !== undefined && { threads: mapped(threads, (_, event) => room.thread(event)) }),
  };
}

function mapped<V, R>(object: Readonly<Record<string, V>>, value: (value: V, key: string) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(object).map(([key, each]) => [key, value(each, key)]));
}

/** The given sequence, the reverse, everything twice, and each item first once. */
function sequencesOf({ given }: ClientVector): Given[] {
  const firsts = given.map((first, i) => [first, ...given.filter((_, j) => j !== i)]);
  return [given, given.toReversed(), [...given, ...given], ...firsts];
}

const vectors = suite("the client's vectors, through ReadState");

const client = await vectorsOf("client");

for (const vector of client) {
  vectors(`${vector.name}: ${vector.title}`, () => {
    for (const given of sequencesOf(vector)) assert.equal(foundIn(stateOf(given), vector), vector.expect);
  });
}

vectors("each expectation, changed alone, is noticed", () => {
  const wrong = client.flatMap(wrongClientVectors);
  assert.ok(wrong.length > 150, `${wrong.length} changes`);
  for (const vector of wrong) {
    assert.not.equal(
      foundIn(stateOf(vector.given), vector),
      vector.expect,
      `${vector.name}: ${JSON.stringify(vector.expect)}`,
    );
  }
});

vectors.run();
