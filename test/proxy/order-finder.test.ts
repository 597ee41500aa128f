/** Where the orders of an answer come from, and what happens when nobody says them. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TidemarkError } from "../../src/errors.ts";
import { PROXY_ORDER_WAIT_MS, PUSH_YOUNG_EVENT_MS } from "../../src/limits.ts";
import type { EventId, RoomId } from "../../src/matrix/ids.ts";
import { OrderFinder, type OrdersOfRooms } from "../../src/proxy/order-finder.ts";
import type { OrderPlace } from "../../src/proxy/order-places.ts";
import { eventually } from "../support/harness.ts";
import { warnings } from "../support/warnings.ts";

const ROOM = "!r:a" as RoomId;

const place = (eventId: string, room = ROOM as string, isTimeline = true): OrderPlace => ({
  kind: "event",
  room,
  eventId,
  isTimeline,
  sentAt: undefined,
  object: undefined,
  lacksUnsigned: false,
});

interface Answers {
  readonly [event: string]: number;
}

function started(known: Answers = {}) {
  const found: string[] = [];
  const away: boolean[] = [];
  const questions: string[][] = [];
  const inVain: number[] = [];
  const pushes = { mayWait: true, inVain: (since: number) => inVain.push(since) };
  const state = { known, position: 1, error: undefined as Error | undefined, waits: 0, isSilent: false };
  const orders = new OrderFinder({
    onFound: (source, events) => found.push(`${source} ${events}`),
    onAway: (isAway) => away.push(isAway),
    onWaited: () => state.waits++,
    pushes,
  });
  const source: OrdersOfRooms = {
    partitions: 2,
    ask: async (_, events) => {
      questions.push([...events]);
      if (state.isSilent) await new Promise(() => {});
      if (state.error !== undefined) throw state.error;
      return {
        position: state.position,
        orders: Object.fromEntries(events.map((event) => [event, state.known[event] ?? null])) as Record<
          EventId,
          number | null
        >,
      };
    },
  };
  const find = async (places: readonly OrderPlace[], mayWait = true) => {
    const orderOf = await orders.find(places, { mayWait });
    return places.map(({ room, eventId }) => orderOf(room ?? "", eventId));
  };
  const learn = (event: string, order: number) =>
    orders.learn(ROOM, [{ event_id: event as EventId, unsigned: { order } }]);
  return { orders, source, find, learn, found, away, questions, state, pushes, inVain };
}

const suiteOfOrders = suite("orders of a homeserver's events");

suiteOfOrders("are asked for in one question for a room, and once", async () => {
  const { orders, source, find, found, questions } = started({ $a: 5, $b: -3 });
  orders.connect(source);
  assert.equal(await find([place("$a"), place("$b"), place("$a")]), [5, -3, 5]);
  assert.equal(await find([place("$a"), place("$b")]), [5, -3]);
  assert.equal(questions, [["$a", "$b"]]);
  assert.equal(found, ["question 2", "cache 2"]);
});

suiteOfOrders("are waited for together, however many, and Node warns of nothing", async () => {
  using warned = warnings();
  const { orders, source, find, learn } = started({});
  orders.connect(source);
  const events = Array.from({ length: 30 }, (_, n) => `$${n}`);
  const answer = find(events.map((event) => place(event)));
  await new Promise(setImmediate);
  for (const [n, event] of events.entries()) learn(event, n + 1);
  assert.equal(
    await answer,
    events.map((_, n) => n + 1),
  );
  assert.equal(warned.found, []);
});

suiteOfOrders("that a delta told need no question; after a restore they do", async () => {
  const { orders, source, find, learn, questions } = started({ $a: 9 });
  orders.connect(source);
  learn("$a", 5);
  assert.equal(await find([place("$a")]), [5]);
  assert.equal(questions, []);
  orders.forget();
  assert.equal(await find([place("$a")]), [9]);
});

suiteOfOrders("are waited for in a timeline, until the delta comes", async () => {
  const { orders, source, find, learn, questions, state } = started();
  orders.connect(source);
  const found = find([place("$new"), place("$old", ROOM, false)]);
  await eventually(() => questions.length > 0, "asked");
  await new Promise(setImmediate);
  learn("$new", 6);
  assert.equal(await found, [6, undefined]);
  assert.is(state.waits, 1);
});

suiteOfOrders("are waited for once: an event that Tidemark never gets holds up one answer", async () => {
  const { orders, source, find, state } = started();
  orders.connect(source);
  assert.equal(await find([place("$never")]), [undefined]);
  const began = performance.now();
  assert.equal(await find([place("$never")]), [undefined]);
  assert.ok(performance.now() - began < PROXY_ORDER_WAIT_MS, "the second answer did not wait");
  assert.is(state.waits, 1);
});

suiteOfOrders("are waited for in vain if the event is a young one: pushes may stall, and then nothing is", async () => {
  const { orders, source, find, state, pushes, inVain } = started();
  orders.connect(source);
  const [old, young] = [Date.now() - PUSH_YOUNG_EVENT_MS, Date.now()];
  await Promise.all([
    find([place("$undated"), { ...place("$old"), sentAt: old }]),
    find([{ ...place("$young"), sentAt: young }]),
  ]);
  assert.is(state.waits, 2);
  assert.is(inVain.length, 1);
  pushes.mayWait = false;
  await find([{ ...place("$other"), sentAt: young }]);
  assert.is(state.waits, 2);
  pushes.mayWait = true;
  const waiting = find([{ ...place("$another"), sentAt: young }]);
  await new Promise(setImmediate);
  orders.cutOff(true);
  await waiting;
  assert.is(inVain.length, 1, "without a connection it says nothing");
});

suiteOfOrders(
  "are not waited for in a room that Tidemark doesn't know, outside of timelines, or in a first sync",
  async () => {
    const { orders, source, find, state } = started();
    orders.connect(source);
    await find([place("$a", ROOM, false)]);
    await find([place("$b")], false);
    state.position = 0;
    await find([place("$c")]);
    assert.is(state.waits, 0);
  },
);

suiteOfOrders("that nobody answers for are left out, and asked for again later", async () => {
  const { orders, source, find, questions, away, state } = started({ $a: 5 });
  assert.equal(await find([place("$a")]), [undefined], "before there is a broker");
  orders.connect(source);
  state.error = new TidemarkError("BUS_UNAVAILABLE", "nobody answers");
  assert.equal(await find([place("$a")]), [undefined]);
  assert.equal(await find([place("$a")]), [undefined]);
  assert.is(questions.length, 1, "the second answer did not ask");
  state.error = undefined;
  await eventually(async () => (await find([place("$a")]))[0] === 5, "asked again");
  assert.equal(away, [true, false, true, false]);
});

suiteOfOrders("are not waited for while there is no connection, and waiting ends with it", async () => {
  const { orders, source, find, questions, away } = started();
  orders.connect(source);
  const found = find([place("$new")]);
  await eventually(() => questions.length > 0, "asked");
  await new Promise(setImmediate);
  orders.cutOff(true);
  assert.equal(await found, [undefined]);
  assert.equal(await find([place("$other")]), [undefined]);
  assert.is(questions.length, 1);
  orders.cutOff(false);
  assert.equal(away, [true, false, true, false]);
});

suiteOfOrders("hold up an answer for a bounded time when a question is not answered", async () => {
  const { orders, source, find, away, state } = started();
  orders.connect(source);
  state.isSilent = true;
  assert.equal(await find([place("$a")]), [undefined]);
  assert.is(away.at(-1), true);
});

suiteOfOrders("are not asked for with ids that are none", async () => {
  const { orders, source, find, questions } = started();
  orders.connect(source);
  await find([place("a"), place("$a\0"), place("$\ud800"), place("$a", "r"), { ...place("$a"), room: undefined }]);
  assert.equal(questions, []);
});

suiteOfOrders("of a refused question are left out alone", async () => {
  const { orders, source, find, away, state } = started();
  orders.connect(source);
  state.error = new TidemarkError("M_TOO_LARGE", "too much");
  assert.equal(await find([place("$a")]), [undefined]);
  assert.equal(away, [true, false]);
});

suiteOfOrders.run();
