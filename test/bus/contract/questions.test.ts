/** Questions and their answers, as declared in the contract (docs/design.md#queries). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Op, QUESTIONS, question } from "../../../src/bus/contract/questions.ts";
import { connect } from "../../../src/frontend/index.ts";
import { eventually, message, receipt, rejects, startTidemark } from "../../support/harness.ts";

const ROOM = "!questions:a.org";
const BOB = "@bob:a.org";

const toldOf = (...ids: string[]) => ids.map((id) => ({ user_id: BOB, receipt_type: "m.read" as const, event_id: id }));

const questions = suite("questions");

questions("are parsed by their op, for every declared op", () => {
  const options = question.options.map(({ shape }) => shape.op.value);
  assert.equal([...options].sort(), Object.keys(QUESTIONS).sort());
  for (const op of Object.keys(QUESTIONS) as Op[]) {
    assert.is(QUESTIONS[op].question.shape.op.value, op);
    const wrong = question.safeParse({ op: `no ${op}` });
    assert.match(wrong.error?.issues[0]?.message ?? "", "must be snapshot, orders");
  }
});

questions("get answers of the declared shape, and accept plain ids", async () => {
  await using bus = await startTidemark();
  const edit = { "m.relates_to": { rel_type: "m.replace", event_id: "$1" }, body: "b" };
  const member = message("$bob", { type: "m.room.member", state_key: BOB, content: { membership: "join" } });
  await bus.sent("event", ROOM, [member, message("$1"), message("$2", { content: edit })]);
  await bus.sent("receipt", ROOM, [
    receipt(BOB, "$1"),
    receipt(BOB, "$1", { receipt_type: "m.read.private", thread_id: "main" }),
    receipt(BOB, "$1", { receipt_type: "m.fully_read" }),
  ]);
  await using tidemark = await connect({ nats: bus.url });
  await eventually(async () => {
    const { fully_read: fullyRead } = await tidemark.query(ROOM, { op: "snapshot", user_id: BOB });
    return fullyRead?.event_id === "$1";
  }, "everything is folded");

  const ids = ["$1", "$never"];
  const answers: Record<Op, object> = {
    snapshot: await tidemark.query(ROOM, { op: "snapshot", user_id: BOB, timeline_limit: 1, markers_limit: 0 }),
    orders: await tidemark.query(ROOM, { op: "orders", event_ids: ids }),
    told: await tidemark.query(ROOM, { op: "told", receipts: toldOf("$1", "$2") }),
    event: await tidemark.query(ROOM, { op: "event", event_id: "$2" }),
    read: await tidemark.query(ROOM, { op: "read", user_id: BOB, event_ids: ids }),
    unread: await tidemark.query(ROOM, { op: "unread", user_id: BOB }),
    threads: await tidemark.query(ROOM, { op: "threads", event_ids: ids }),
    state: await tidemark.query(ROOM, { op: "state" }),
    state_json: await tidemark.query(ROOM, { op: "state_json" }),
    events: await tidemark.query(ROOM, { op: "events", dir: "b", relates_to: "$1", rel_type: "m.replace" }),
    aggregations: await tidemark.query(ROOM, { op: "aggregations", event_ids: ids, viewer: BOB }),
    roots: await tidemark.query(ROOM, { op: "roots" }),
    summary: await tidemark.query(ROOM, { op: "summary" }),
    rooms: await tidemark.query(BOB, { op: "rooms" }),
    changed: await tidemark.query(BOB, { op: "changed", partition: bus.partitionOf(ROOM), since: 0 }),
  };
  for (const op of Object.keys(answers) as Op[]) {
    const { ok, ...answer } = answers[op] as { ok: boolean };
    assert.is(ok, true, op);
    assert.equal(QUESTIONS[op].answer.strict().parse(answer), answer, op);
  }
  const { told } = await tidemark.query(ROOM, { op: "told", receipts: toldOf("$1", "$2", "$never") });
  assert.equal(told, [true, false, false]);
  const { rooms } = await tidemark.query(BOB, { op: "rooms" });
  assert.is(rooms[ROOM]?.membership, "join");
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ids });
  assert.equal(Object.keys(orders), ids);
  assert.is(orders.$never, null);
});

questions("about an invalid id are refused before they are sent, others by the worker", async () => {
  await using bus = await startTidemark();
  await using tidemark = await connect({ nats: bus.url });
  const refused = async (query: Promise<unknown>, why: string) =>
    assert.match((await rejects(query, "M_INVALID_PARAM")).message, why);
  await refused(tidemark.query("room", { op: "state" }), "room_id: must be a room id");
  await refused(tidemark.query("@room", { op: "rooms" }), "user_id: must be a user id");
  await refused(tidemark.query(ROOM, { op: "event", event_id: "1" }), "event_id: must be an event id");
  await refused(tidemark.query(ROOM, { op: "rooms" }), "op: rooms is asked about a user");
  await refused(tidemark.query(BOB, { op: "state" }), "op: state is asked about a room");
  await refused(tidemark.query(ROOM, { op: "changed", partition: 0, since: 0 }), "op: changed is asked about a user");
  await refused(tidemark.query(BOB, { op: "changed", partition: 8, since: 0 }), "partition: must be less than ");
  await refused(tidemark.query(BOB, { op: "rooms", from: "next" }), "from: must be the next of an answer");
  // @ts-expect-error a key is missing
  await refused(tidemark.query(ROOM, { op: "event" }), "event_id: must be an event id");
  // @ts-expect-error no such question
  await refused(tidemark.query(ROOM, { op: "nothing" }), "op: must be snapshot, orders");
});

questions.run();
