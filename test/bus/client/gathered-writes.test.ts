/** Messages that are published together are sent in few writes to the socket. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { closeBus, publish, WRITE_BYTES_MAX } from "../../../src/bus/client/gathered-writes.ts";
import { inSubject } from "../../../src/bus/contract/subjects.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { FakeConnection } from "../../support/fake-connection.ts";

const SUBJECT = inSubject.receipt("!r:a.org" as RoomId);
const turn = () => new Promise((resolve) => setImmediate(resolve));

const writes = suite("gathered writes");

writes("of an idle connection are sent at once, all messages in one write and in order", async () => {
  const connection = new FakeConnection();
  for (const n of [1, 2, 3]) publish(connection.nc, SUBJECT, Uint8Array.of(n));
  assert.equal(connection.writes, []);
  await turn();
  assert.equal(
    connection.writes.map(({ payloads }) => payloads),
    [[1, 2, 3]],
  );
});

writes("include all messages that follow soon after a write", async () => {
  const connection = new FakeConnection();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  publish(connection.nc, SUBJECT, Uint8Array.of(3));
  await connection.written(2);
  assert.equal(connection.writes[1]!.payloads, [2, 3]);
});

writes("are sent at once if they are large, and later messages are gathered again", async () => {
  const connection = new FakeConnection();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  publish(connection.nc, SUBJECT, Buffer.alloc(WRITE_BYTES_MAX, 3));
  publish(connection.nc, SUBJECT, Uint8Array.of(4));
  await connection.written(3);
  assert.equal(
    connection.writes.map(({ payloads }) => payloads),
    [[1], [2, 3], [4]],
  );
});

writes("are sent before the connection is closed", async () => {
  const connection = new FakeConnection();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  await closeBus(connection.nc);
  assert.ok(connection.closed);
  assert.equal(connection.writes[1]!.payloads, [2]);
});

writes("call `failed` for a message that can't be sent", async () => {
  const connection = new FakeConnection();
  connection.refuses = true;
  const reasons: unknown[] = [];
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  publish(connection.nc, SUBJECT, Uint8Array.of(2), { failed: (error) => reasons.push(error) });
  await turn();
  assert.equal(
    reasons.map((reason) => (reason as Error).message),
    ["closed"],
  );
});

writes.run();
