/**
 * Malformed and malicious requests (docs/design.md#the-bus-contract, E11). Each is answered with an error that names
 * the field if there is one, and has no stack. Nothing of it is in any log, and the process continues to serve.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Attack, json, nested, ROOM, ROOM_REQUESTS, subjectOf, withstood } from "../support/attacks.ts";
import { type Body, message, pack, receipt, startTidemark, token } from "../support/harness.ts";

const hostile = suite("hostile input");

hostile("times that aren't numbers are refused by field", async () => {
  await using tidemark = await startTidemark();
  const times = ["5", true, {}, []];
  await withstood(
    tidemark,
    times.flatMap((time) => [
      {
        name: "ts",
        subject: subjectOf("receipt"),
        bytes: json(receipt("@b:a.org", "$1", { ts: time })),
        says: /^ts: /,
      },
      {
        name: "origin_server_ts",
        subject: subjectOf("event"),
        bytes: pack(message("$1", { origin_server_ts: time })),
        says: /^origin_server_ts: /,
      },
    ]),
  );
});

hostile("an empty message, and values of the wrong kind, are refused", async () => {
  await using tidemark = await startTidemark();
  const values = [null, true, 5, "text", [[]], [null], [5]];
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind): Attack[] => [
      { name: `${kind} empty`, subject: subjectOf(kind), bytes: new Uint8Array(), errcode: "M_BAD_JSON" },
      ...values.map((value) => ({ name: `${kind} ${value}`, subject: subjectOf(kind), bytes: pack(value) })),
    ]),
  );
});

hostile("any name in event content is plain data", async () => {
  await using tidemark = await startTidemark();
  const content = { constructor: 1, toString: "x", hasOwnProperty: null, toJSON: 5, length: -1 };
  const events = tidemark.subscribe("tidemark.client.>");
  await tidemark.sent("event", ROOM, message("$toString", { content, type: "constructor" }));
  await tidemark.sent("event", ROOM, message("$redact", { type: "m.room.redaction", redacts: "$toString" }));
  await events.next((body) => body.events?.some((event: Body) => event.event_id === "$redact"));
  assert.equal(events.messages[0]?.body.events[0].content, content);
  const { event } = await tidemark.query(ROOM, { op: "event", event_id: "$toString" });
  assert.equal(event.content, {});
});

hostile("invalid queries get an error that names what is wrong", async () => {
  await using tidemark = await startTidemark();
  const subject = `tidemark.query.${token(ROOM)}`;
  const bad = [
    { body: {}, says: /^op: / },
    { body: { op: "drop" }, says: /^op: / },
    { body: { op: "__proto__" }, says: /^op: / },
    { body: { op: "snapshot", user_id: "bob" }, says: /^user_id: / },
    { body: { op: "snapshot", timeline_limit: -1 }, says: /^timeline_limit: / },
    { body: { op: "snapshot", timeline_limit: 1.5 }, says: /^timeline_limit: / },
    { body: { op: "orders" }, says: /^event_ids: / },
    { body: { op: "orders", event_ids: "$1" }, says: /^event_ids: / },
    { body: { op: "orders", event_ids: ["$1", "a b"] }, says: /^event_ids\.1: / },
    { body: { op: "orders", event_ids: Array(1_025).fill("$1") }, says: /^event_ids: / },
    { body: { op: "event" }, says: /^event_id: / },
    { body: { op: "read", event_ids: [] }, says: /^user_id: / },
    { body: { op: "unread", user_id: "@b" }, says: /^user_id: / },
  ];
  await withstood(tidemark, [
    ...bad.flatMap(({ body, says }) => [
      { name: JSON.stringify(body), subject, bytes: json(body), says },
      { name: JSON.stringify(body), subject, bytes: pack(body), says },
    ]),
    ...[[], null, "snapshot", 5].map((value) => ({ name: `${value}`, subject, bytes: pack(value), says: /^[^:]/ })),
    { name: "oversized", subject, bytes: Buffer.alloc(524_289, "["), errcode: "M_TOO_LARGE" },
    { name: "deep", subject, bytes: nested(5_000, "[", "]"), errcode: "M_BAD_JSON" },
    { name: "empty", subject, bytes: new Uint8Array(), errcode: "M_BAD_JSON" },
  ]);
});

hostile.run();
