/** Events as clients see them: what `unsigned` shows to whom. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { clientEvent, isShownAsItIs } from "../../src/gateway/client-event.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { check } from "../support/property.ts";

const ALICE = "@alice:a.org" as UserId;
const device = { user: ALICE, id: "A1" };
const event = (unsigned?: Record<string, unknown>, sender = ALICE): MatrixEvent => ({
  event_id: "$1" as EventId,
  type: "m.room.message",
  sender,
  origin_server_ts: 1,
  content: {},
  room_id: "!of:its.sender" as RoomId,
  ...(unsigned !== undefined && { unsigned }),
});
const SENT = { transaction_id: "txn", device_id: "A1" };

const clientEvents = suite("client event");

clientEvents("the transaction id is its device's own, and the device is nobody's", () => {
  const unsignedFor = (unsigned: Record<string, unknown>, sender?: UserId) =>
    clientEvent(event(unsigned, sender), device).unsigned;
  assert.equal(unsignedFor({ order: 1, ...SENT }), { order: 1, transaction_id: "txn" });
  assert.equal(unsignedFor({ order: 1, ...SENT, device_id: "A2" }), { order: 1 });
  assert.equal(unsignedFor({ order: 1, ...SENT }, "@bob:a.org" as UserId), { order: 1 });
  assert.equal(unsignedFor({ order: 1, device_id: "A1" }), { order: 1 });
});

clientEvents("events inside of unsigned show no transaction and no device, however deep", () => {
  const inner = { ...event({ ...SENT, age: 1, "m.relations": { x: [{ unsigned: { ...SENT, y: null } }] } }) };
  const { unsigned } = clientEvent(event({ order: 1, redacted_because: inner, list: [inner] }), device);
  const shown = { ...inner, unsigned: { age: 1, "m.relations": { x: [{ unsigned: { y: null } }] } } };
  assert.equal(unsigned, { order: 1, redacted_because: shown, list: [shown] });
});

clientEvents("the room is the one that is asked about, or is left out", () => {
  assert.is(clientEvent(event(), device, "!r:a.org" as RoomId).room_id, "!r:a.org");
  assert.not.ok("room_id" in clientEvent(event({ order: 1 }), device));
});

const keys = fc.constantFrom(
  "unsigned",
  "room_id",
  "transaction_id",
  "device_id",
  "order",
  '"room_id"',
  "redacted_because",
);
const json = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, fc.constantFrom("A1", "txn", 1, null), fc.array(tie("value")), tie("object")),
  object: fc.dictionary(keys, tie("value"), { maxKeys: 4, noNullPrototype: true }),
}));

clientEvents("JSON that names nothing that is left out is sent as it is", () => {
  check(
    fc.property(fc.record({ content: json.object, unsigned: json.object }), fc.boolean(), (some, hasRoom) => {
      const { room_id: room, ...plain } = event();
      const sent: MatrixEvent = {
        ...plain,
        ...(some as Pick<MatrixEvent, "content">),
        ...(hasRoom && { room_id: room! }),
      };
      if (isShownAsItIs(JSON.stringify(sent))) assert.equal(clientEvent(sent, device), sent);
    }),
  );
  assert.ok(isShownAsItIs(JSON.stringify({ ...event({ order: 1, "m.relations": [{}] }), room_id: undefined })));
});

clientEvents.run();
