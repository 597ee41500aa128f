import { suite } from "uvu";
import * as assert from "uvu/assert";
import { AckedPublisher } from "../../../src/bus/client/acked-publisher.ts";
import { isTransient } from "../../../src/bus/client/connection.ts";
import {
  append,
  ensureStream,
  existingStream,
  messageAt,
  messagesBySubject,
  newestMessage,
  nextMessage,
  streamState,
} from "../../../src/bus/client/jetstream.ts";
import { deltaStream, logStream, logSubject, userReceipts } from "../../../src/bus/contract/subjects.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";
import { type BusHarness, rejects, startBus } from "../../support/harness.ts";

const STREAM = logStream(0);
const A = logSubject(0, "!a:a.org" as RoomId);
const B = logSubject(0, "!b:a.org" as RoomId);

/** A broker with a log of four messages. */
async function startLog(): Promise<BusHarness> {
  const bus = await startBus();
  await ensureStream(bus.nc, { name: STREAM, subjects: ["tidemark.log.0.*"], keep: "forever", replicas: 1 });
  for (const [i, subject] of [A, B, A, B].entries()) await append(bus.nc, subject, `${i + 1}`);
  return bus;
}

const textOf = (message: { readonly data: Uint8Array } | undefined) => message && Buffer.from(message.data).toString();

const jetstream = suite("JetStream");

jetstream("gives the state of a stream, and its messages by sequence and by subject", async () => {
  await using bus = await startLog();
  const { created, ...state } = (await streamState(bus.nc, STREAM))!;
  assert.equal(state, { first: 1, last: 4, messages: 4 });
  assert.is(Number.isNaN(Date.parse(created)), false);
  assert.equal(Object.fromEntries((await messagesBySubject(bus.nc, STREAM, ">"))!), { [A]: 2, [B]: 2 });
  assert.equal(Object.fromEntries((await messagesBySubject(bus.nc, STREAM, B))!), { [B]: 2 });

  const third = (await messageAt(bus.nc, STREAM, 3))!;
  assert.equal([third.subject, third.sequence, textOf(third)], [A, 3, "3"]);
  assert.ok(Math.abs(Date.now() - third.at) < 60_000, "its time is Unix time in ms");
  assert.is(textOf(await newestMessage(bus.nc, STREAM, A)), "3");
  assert.is(textOf(await nextMessage(bus.nc, STREAM, { subject: B, from: 3 })), "4");
});

jetstream("gives undefined for a stream, a message or a subject that doesn't exist", async () => {
  await using bus = await startLog();
  const missing = deltaStream(0);
  assert.is(await streamState(bus.nc, missing), undefined);
  assert.is(await messagesBySubject(bus.nc, missing, ">"), undefined);
  assert.is(await messageAt(bus.nc, missing, 1), undefined);
  assert.is(await newestMessage(bus.nc, missing, A), undefined);
  assert.is(await messageAt(bus.nc, STREAM, 5), undefined);
  assert.is(await newestMessage(bus.nc, STREAM, logSubject(0, "!c:a.org" as RoomId)), undefined);
  assert.is(await nextMessage(bus.nc, STREAM, { subject: A, from: 4 }), undefined);
  assert.match(
    (await rejects(existingStream(bus.nc, missing), "BUS_UNAVAILABLE")).message,
    "there is no stream TIDEMARK_DELTAS_0 on this broker",
  );
});

jetstream("appends only after the sequence that the caller names, and gives undefined otherwise", async () => {
  await using bus = await startLog();
  assert.is(await append(bus.nc, A, "late", { after: { sequence: 3 } }), undefined);
  assert.is(await append(bus.nc, A, "late", { after: { subjectSequence: 1 } }), undefined);
  assert.is(await append(bus.nc, A, "5", { after: { sequence: 4 } }), 5);
  assert.is(await append(bus.nc, B, "6", { after: { subjectSequence: 4 } }), 6);
  assert.is((await streamState(bus.nc, STREAM))?.messages, 6);
});

jetstream("fails with BUS_UNAVAILABLE when the broker doesn't answer, and says what was being done", async () => {
  await using bus = await startLog();
  await bus.nc.close();
  const error = await rejects(streamState(bus.nc, STREAM), "BUS_UNAVAILABLE");
  assert.match(error.message, /^could not read the state of TIDEMARK_LOG_0: /);
  assert.not.ok(isTransient(error), "a closed connection stays closed");
});

jetstream("leaves a stream as it is, and refuses one that breaks the log's promises", async () => {
  await using bus = await startBus();
  const log = { name: STREAM, subjects: ["tidemark.log.0.*"], keep: "forever", replicas: 1 } as const;
  await bus.jsm.streams.add({ name: deltaStream(0), subjects: ["tidemark.client.0.*.*"], max_msgs: 7 });
  await ensureStream(bus.nc, { ...log, name: deltaStream(0), subjects: ["tidemark.client.0.*.*"], keep: 1_000 });
  assert.is((await bus.jsm.streams.info(deltaStream(0))).config.max_msgs, 7);
  await bus.jsm.streams.add({ name: STREAM, subjects: ["tidemark.log.0.*"] });
  const refused = await rejects(ensureStream(bus.nc, { ...log, subjects: [...log.subjects] }), "BUS_MISMATCH");
  assert.match(refused.message, "stream TIDEMARK_LOG_0 has");
});

jetstream("names the log or the subject without an acknowledgement in the error, but no room or user", async () => {
  await using bus = await startLog();
  const acked = new AckedPublisher(bus.nc);
  assert.is(await acked.publish(logSubject(0, "!a:a.org" as RoomId), Buffer.from("5")), 5);
  const delta = userReceipts(3, "@a:a.org" as UserId);
  const { message } = await rejects(acked.publish(delta, Buffer.from("x")), "M_UNKNOWN");
  assert.match(message, "tidemark.user.3 was not acknowledged: no stream takes it");
  acked.close();
});

jetstream.run();
