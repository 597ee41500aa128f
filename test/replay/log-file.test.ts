/** Export and import of logs as files. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { connect } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LOG_LINE_CHARS_MAX } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { exportLog } from "../../src/replay/export.ts";
import { importLog } from "../../src/replay/import.ts";
import { readLogFile } from "../../src/replay/log-file.ts";
import { failure } from "../support/failure.ts";
import { message, receipt, startBus, startOn, startTidemark } from "../support/harness.ts";
import { playSession, ROOMS } from "../support/recorded.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const logFile = suite("log file");

logFile("is the same after export, import and export again, plain and compressed", async () => {
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
    assert.ok((await readFile(first)).equals(await readFile(second)), name);
  }
  assert.equal(
    gunzipSync(await readFile(join(dir.path, "first-log.gz"))).toString(),
    await readFile(join(dir.path, "first-log"), "utf8"),
  );
  assert.equal(await other.lastSequences(), await tidemark.lastSequences());
});

logFile("gives the same answers after an import", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log.gz");
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  await exportLog(tidemark.nc, { out: path, redact: false });
  await using other = await startBus();
  await importLog(other.nc, { path });
  const again = await startOn(other);
  try {
    for (const room of ROOMS) {
      const op = { op: "snapshot", user_id: "@bob-s11:bench.test" };
      assert.equal(await other.query(room, op), await tidemark.query(room, op));
    }
  } finally {
    await again.stop();
  }
});

logFile("of one room can't be imported, because positions can't be kept", async () => {
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
  assert.match(
    await failure(importLog(other.nc, { path })),
    "nothing was imported: partition 0 lacks records 1 to 1, so positions can't be kept",
  );
  assert.equal(await other.lastSequences(), []);
});

logFile("is refused by a log that has other or more records", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "log");
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!a:a.org", message("$1"));
  await exportLog(tidemark.nc, { out: path, redact: false });

  await using different = await startTidemark({ partitions: 1 });
  await different.sent("event", "!a:a.org", message("$2"));
  assert.match(await failure(importLog(different.nc, { path })), "has another record 1 than the file");
  await tidemark.sent("event", "!a:a.org", message("$3"));
  assert.match(await failure(importLog(tidemark.nc, { path })), "has 2 records, the file 1");
  await using four = await startTidemark({ partitions: 4 });
  assert.match(await failure(importLog(four.nc, { path })), "made with 4 partitions, not 1");
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
  assert.equal(await other.lastSequences(), [2]);
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
  assert.match(await failure(importLog(other.nc, { path })), `${path}, line 3: its checksum is wrong`);
  await writeFile(path, whole.subarray(0, -20));
  assert.match(await failure(importLog(other.nc, { path })), /log\.gz, after line \d: unexpected end of file/);
  await writeFile(path, "hello\n");
  assert.match(await failure(importLog(other.nc, { path })), "log.gz, after line 0: incorrect header check");
  assert.equal(await other.lastSequences(), []);
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

logFile("that does not exist is reported", async () => {
  const read = readLogFile("/nowhere/log", { onRecord: () => {} });
  assert.match(await failure(read), "ENOENT");
});

logFile.run();
