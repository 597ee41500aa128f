/** Export and import of logs as files. */
import { writeFileSync } from "node:fs";
import { lstat, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { connect } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { partitionOf } from "../../src/bus/contract/subjects.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { LOG_LINE_CHARS_MAX } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { crc32 } from "../../src/replay/crc32.ts";
import { exportLog } from "../../src/replay/export.ts";
import { importLog } from "../../src/replay/import.ts";
import { readLogFile } from "../../src/replay/log-file.ts";
import { Refold } from "../../src/replay/refold.ts";
import { failure } from "../support/failure.ts";
import { BASE, message, receipt, startBus, startOn, startTidemark } from "../support/harness.ts";
import { playSession, ROOMS } from "../support/recorded.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const logFile = suite("log file");

/** What each room of a file is, but for positions. */
async function roomsIn(path: string) {
  const refold = new Refold();
  await readLogFile(path, { onRecord: (record) => refold.fold(record) });
  return Array.from(refold.rooms.values(), (room) => ({
    room: room.id,
    events: Array.from(room.events, ([id, { order, thread, counts }]) => [id, order, thread, counts].join(" ")).sort(),
    markers: Array.from(room.markers, ({ user, type, thread, event, order, ts }) =>
      [user, type, thread, event, order, ts].join(" "),
    ).sort(),
    held: room.held.size,
    members: room.memberships(),
  })).sort((a, b) => (a.room < b.room ? -1 : 1));
}

logFile("has the same rooms after export, import and export again, plain and compressed", async () => {
  await using dir = await temporaryDirectory();
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  await using other = await startBus();
  for (const name of ["log", "log.gz"]) {
    const [first, second] = [join(dir.path, `first-${name}`), join(dir.path, `second-${name}`)];
    const exported = await exportLog(tidemark.nc, { out: first, redact: false });
    assert.is(exported.entries, 3_951);
    const imported = await importLog(other.nc, { path: first });
    // Records that are in the log already are compared, not appended again.
    assert.is(imported.records, name === "log" ? exported.records : 0);
    await exportLog(other.nc, { out: second, redact: false });
    assert.equal(await roomsIn(second), await roomsIn(first), name);
  }
  assert.equal(
    gunzipSync(await readFile(join(dir.path, "first-log.gz"))).toString(),
    await readFile(join(dir.path, "first-log"), "utf8"),
  );
});

for (const partitions of [2, 5]) {
  logFile(`gives the same answers after an import into ${partitions} partitions`, async () => {
    await using dir = await temporaryDirectory();
    const path = join(dir.path, "log.gz");
    await using tidemark = await startTidemark();
    await playSession(tidemark);
    await exportLog(tidemark.nc, { out: path, redact: false });
    await using other = await startBus();
    await prepareBus(other.nc, { partitions, isImport: true });
    await importLog(other.nc, { path });
    await using _again = await startOn(other, { partitions });
    for (const room of ROOMS) {
      const op = { op: "snapshot", user_id: "@bob-s11:bench.test" };
      const { position, timeline_position, ...before } = await tidemark.query(room, op);
      const { position: _, timeline_position: __, ...after } = await other.query(room, op);
      assert.equal(after, before);
    }
  });
}

logFile("gives new events orders above all that it has, whatever the new log's clock", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", [message("$1"), message("$2")]);
  await exportLog(tidemark.nc, { out: path, redact: false });
  await using other = await startBus();
  await importLog(other.nc, { path });
  await using _again = await startOn(other, { partitions: 1 });
  await other.sent("event", "!a:a.org", message("$3"));
  await other.sent("event", "!new:a.org", message("$4"));
  const ordersIn = async (room: string, ...ids: string[]) =>
    Object.values((await other.query(room, { op: "orders", event_ids: ids })).orders) as number[];
  const [first, second, third] = await ordersIn("!a:a.org", "$1", "$2", "$3");
  assert.equal([first, second], [BASE + 1, BASE + 2]);
  const [fourth] = await ordersIn("!new:a.org", "$4");
  for (const order of [third!, fourth!]) assert.ok(order > BASE + 2 ** 32, `${order}`);
});

logFile("of one room can be imported", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "room.log");
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!other:a.org", message("$0"));
  await tidemark.sent("event", "!a:a.org", message("$1"));
  assert.equal(await exportLog(tidemark.nc, { room: "!a:a.org" as RoomId, out: path, redact: false }), {
    records: 1,
    entries: 1,
  });
  await using other = await startBus();
  assert.is((await importLog(other.nc, { path })).records, 1);
  assert.equal(await other.lastSequences(), [2]);
});

logFile("is refused by a log that has other or more records", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  await exportLog(tidemark.nc, { out: path, redact: false });

  await using different = await startTidemark({ partitions: 1 });
  await different.sent("event", "!a:a.org", message("$2"));
  assert.match(await failure(importLog(different.nc, { path })), "has another record 2 than the file");
  await tidemark.sent("event", "!a:a.org", message("$3"));
  assert.match(await failure(importLog(tidemark.nc, { path })), "has 3 records, the file 2");
});

logFile("is refused by logs of another number than is asked for", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  await exportLog(tidemark.nc, { out: path, redact: false });
  await using other = await startBus();
  await prepareBus(other.nc, { partitions: 2, isImport: true });
  assert.match(await failure(importLog(other.nc, { path, partitions: 3 })), "partitions");
  assert.is((await importLog(other.nc, { path, partitions: 2 })).records, 1);
});

logFile("continues an interrupted import", async () => {
  await using dir = await temporaryDirectory();
  const [early, late] = [join(dir.path, "early"), join(dir.path, "late")];
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  await exportLog(tidemark.nc, { out: early, redact: false });
  await tidemark.sent("receipt", "!a:a.org", receipt("@b:a.org", "$1"));
  await exportLog(tidemark.nc, { out: late, redact: false });
  await using other = await startBus();
  assert.is((await importLog(other.nc, { path: early })).records, 1);
  assert.is((await importLog(other.nc, { path: late })).records, 1);
  assert.equal(await other.lastSequences(), [3]);
});

logFile("that is damaged is refused completely, with the line and the reason", async () => {
  await using dir = await temporaryDirectory();
  await using tidemark = await startTidemark({ partitions: 1 });
  for (const id of ["$1", "$2", "$3"]) await tidemark.sent("event", "!a:a.org", message(id));
  const path = join(dir.path, "log.gz");
  await exportLog(tidemark.nc, { out: path, redact: false });
  const whole = await readFile(path);
  await using other = await startBus();

  await writeFile(path, gzipSync(gunzipSync(whole).toString().replace("this is $2", "this is $X")));
  assert.match(await failure(importLog(other.nc, { path })), `${path}, line 4: its checksum is wrong`);
  await writeFile(path, whole.subarray(0, -20));
  assert.match(await failure(importLog(other.nc, { path })), /log\.gz, after line \d: unexpected end of file/);
  await writeFile(path, "hello\n");
  assert.match(await failure(importLog(other.nc, { path })), "log.gz, after line 0: incorrect header check");
  assert.equal(await other.lastSequences(), []);
});

/** Writes a file as `export` does, of lines that may be anything. */
async function writeLines(path: string, header: Record<string, unknown>, lines: readonly unknown[]): Promise<void> {
  let crc = 0;
  const text = [
    { tidemark: "log", v: 2, partitions: 1, scope: { all: true }, redacted: false, ...header },
    { partition: 0, at: 1, base: BASE, lineage: "one", parent: null },
    ...lines,
    { records: lines.length, entries: lines.length },
  ].map((line) => {
    const body = JSON.stringify(line).slice(0, -1).replaceAll('"∞"', "1e999").replaceAll("!proto", "__proto__");
    crc = crc32(body, crc);
    return `${body},"crc":"${crc.toString(16).padStart(8, "0")}"}\n`;
  });
  await writeFile(path, text.join(""));
}

const EVENT = { event_id: "$1", type: "m.room.message", sender: "@a:a.org", origin_server_ts: 1, content: {} };
const ROOM = "!a:a.org";
const line = (sequence: number, entry: unknown, more: Record<string, unknown> = {}) => ({
  partition: 0,
  sequence,
  room: ROOM,
  at: 5,
  entries: [entry],
  ...more,
});

const INVALID: Readonly<Record<string, unknown>> = {
  "a state key that is no text": line(2, [0, { ...EVENT, state_key: 5 }]),
  "an event id of 3,000 bytes": line(2, [0, { ...EVENT, event_id: `$${"x".repeat(3_000)}` }]),
  "an origin that is no server name": line(2, [2, "@a:a.org", "m.read", "$1", null, 5, "a b"]),
  "an origin that is no text": line(2, [2, "@a:a.org", "m.read", "$1", null, 5, 7]),
  "an unknown receipt type": line(2, [2, "@a:a.org", "m.seen", "$1", null, 5, null]),
  "an unknown kind": line(2, [9, EVENT]),
  "a number that is not finite": line(2, [0, { ...EVENT, content: { n: "∞" } }]),
  "a key named __proto__": line(2, [0, { ...EVENT, content: { "!proto": {} } }]),
  "text with a lone surrogate": line(2, [0, { ...EVENT, content: { a: "\ud800" } }]),
  "content that is nested too deep": line(2, [
    0,
    { ...EVENT, content: JSON.parse(`${'{"a":'.repeat(99)}1${"}".repeat(99)}`) },
  ]),
  "an event of another room": line(2, [0, { ...EVENT, room_id: "!b:a.org" }]),
  "a room id that is none": line(2, [0, EVENT], { room: "a" }),
  "a clock that is no time": line(2, [0, EVENT], { at: -1 }),
  "a sequence that is too large": line(2 ** 50, [0, EVENT]),
  "a record that is too large for the broker": line(2, [0, { ...EVENT, content: { body: "x".repeat(1_048_576) } }]),
};

logFile("with anything that ingress would not have stored is refused completely, with the line", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await using bus = await startBus({ payloadBytesMax: 1_048_576 });
  for (const [name, bad] of Object.entries(INVALID)) {
    await writeLines(path, {}, [line(1, [0, EVENT]), bad, line(3, [0, EVENT])]);
    assert.match(await failure(importLog(bus.nc, { path })), "log, line 4: ", name);
  }
  await writeLines(path, { partitions: 1e15 }, [line(1, [0, EVENT])]);
  assert.match(await failure(importLog(bus.nc, { path })), "line 1: its partition count or scope");
  await writeLines(path, { partitions: 8 }, [line(1, [0, EVENT])]);
  assert.match(
    await failure(importLog(bus.nc, { path })),
    `line 3: the room is of partition ${partitionOf(ROOM as RoomId, 8)}`,
  );
  assert.equal(await bus.lastSequences(), []);
  await writeLines(path, {}, [line(1, [0, EVENT]), line(2, [0, EVENT])]);
  assert.is((await importLog(bus.nc, { path })).records, 2);
});

logFile("with a line that is too long is refused", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await writeFile(path, "x".repeat(LOG_LINE_CHARS_MAX + 1));
  const read = readLogFile(path, { onRecord: () => {} });
  assert.match(await failure(read), `${path}, after line 0: a line has more than ${LOG_LINE_CHARS_MAX} characters`);
});

logFile("leaves no partial file behind", async () => {
  await using dir = await temporaryDirectory();
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  const nc = await connect({ servers: tidemark.url });
  const failed = exportLog(nc, {
    out: join(dir.path, "log"),
    redact: false,
    onProgress: () => {
      throw new Error("stopped half way");
    },
  });
  assert.match(await failure(failed), "stopped half way");
  await nc.close();
  assert.equal(await readdir(dir.path), []);
});

logFile("is never written over what has its name already", async () => {
  await using dir = await temporaryDirectory();
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  const out = join(dir.path, "log");
  const refused = `${out} exists already, and is not overwritten`;
  await writeFile(out, "a backup");
  assert.match(await failure(exportLog(tidemark.nc, { out, redact: false })), refused);
  assert.is(await readFile(out, "utf8"), "a backup");
  await rm(out);
  await symlink(join(dir.path, "nothing"), out);
  assert.match(await failure(exportLog(tidemark.nc, { out, redact: false })), refused);
  await rm(out);

  const late = exportLog(tidemark.nc, {
    out,
    redact: false,
    onProgress: () => writeFileSync(out, "of another process"),
  });
  assert.match(await failure(late), refused);
  assert.is(await readFile(out, "utf8"), "of another process");
  assert.equal(await readdir(dir.path), ["log"]);
});

logFile("is not written through a link that somebody has made beside it", async () => {
  await using dir = await temporaryDirectory();
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  const [out, theirs] = [join(dir.path, "log"), join(dir.path, "theirs")];
  await writeFile(theirs, "kept");
  await symlink(theirs, `${out}.partial`);
  await exportLog(tidemark.nc, { out, redact: false });
  assert.is(await readFile(theirs, "utf8"), "kept");
  const exported = await lstat(out);
  assert.equal([exported.isFile(), exported.mode & 0o777], [true, 0o600]);
  assert.equal((await readdir(dir.path)).sort(), ["log", "log.partial", "theirs"]);
});

logFile("that does not exist is reported", async () => {
  const read = readLogFile("/nowhere/log", { onRecord: () => {} });
  assert.match(await failure(read), "ENOENT");
});

logFile.run();
