import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { TidemarkError } from "../../src/errors.ts";
import { type Mark, PartitionStore } from "../../src/store/partition-store.ts";
import { inThread, live, receipt, relates } from "../support/entries.ts";
import { ALICE, BOB, ROOM } from "../support/example-room.ts";
import { stateOf } from "../support/room-state.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const log = pino({ level: "silent" });
const MARK: Mark = { sequence: 3, room: ROOM, at: 1, entries: 2 };
const USERS = [ALICE, BOB];

function foldedRoom(room: Room): Room {
  for (const [i, entry] of [live("$a"), live("$b"), receipt(BOB, "$a")].entries()) fold(room, 1024 + i, entry);
  return room;
}

/** A store with one room, closed. */
async function stored(dir: string): Promise<void> {
  const store = await PartitionStore.open(dir, log);
  store.commit(store.collect([foldedRoom(store.load(ROOM))], MARK));
  await store.close();
}

const store = suite("partition store");

store("has committed rows and the sequence that they include after it was closed", async () => {
  using dir = temporaryDirectory();
  await stored(dir.path);
  const again = await PartitionStore.open(dir.path, log);
  assert.equal(again.mark, MARK);
  assert.ok(again.has(ROOM));
  assert.equal(stateOf(again.load(ROOM), USERS), stateOf(foldedRoom(new Room(ROOM, 0)), USERS));
  await again.close();
});

store("does not have rows that were collected but not committed", async () => {
  using dir = temporaryDirectory();
  const before = await PartitionStore.open(dir.path, log);
  before.collect([foldedRoom(before.load(ROOM))], MARK);
  await before.close();
  const again = await PartitionStore.open(dir.path, log);
  assert.is(again.mark, undefined);
  assert.not(again.has(ROOM));
  await again.close();
});

store("stores ids and keys of any length and with any characters", async () => {
  using dir = temporaryDirectory();
  const text = (unit: string, bytes: number) => unit.repeat(Math.floor(bytes / Buffer.byteLength(unit)));
  const entries = [
    ...["$", "x", "é", "\u0000"].flatMap((unit, i) => [
      live(`$relates${i}`, { content: relates("m.thread", `$${text(unit, 10_000)}`) }),
      live(`$edits${i}`, { content: relates("m.replace", text(unit, 10_000)) }),
      live(`$redacts${i}`, { type: "m.room.redaction", content: { redacts: `$${text(unit, 10_000)}` } }),
    ]),
    ...["x", "\u0000", "\u001f", "\\", '"', "é", "😀"].map((unit, i) =>
      live(`$state${i}`, { type: text(unit, 255), state_key: text(unit, 255) }),
    ),
    live("$state-c", { type: "\\", state_key: "" }),
    live("$state-d", { type: "\u001c", state_key: "" }),
    live("$state-a", { type: "a\\", state_key: " b" }),
    live("$state-b", { type: "a", state_key: "\\ b" }),
    live(`$${text("€", 254)}`, inThread(`$${text("€", 254)}r`.slice(0, 80))),
  ];
  const foldAll = (room: Room) => {
    for (const [i, entry] of entries.entries()) assert.is(fold(room, 2048 + i, entry).outcome, "ordered");
    return room;
  };
  const before = await PartitionStore.open(dir.path, log);
  before.commit(before.collect([foldedRoom(before.load(ROOM))], MARK));
  before.commit(before.collect([foldAll(before.load(ROOM))], MARK));
  await before.close();
  const again = await PartitionStore.open(dir.path, log);
  const { state } = again.load(ROOM);
  assert.is([...state].length, 11, "each state event is one of its own");
  assert.equal(stateOf(again.load(ROOM), USERS), stateOf(foldAll(foldedRoom(new Room(ROOM, 0))), USERS));
  await again.close();
});

// E15
store("of another version is deleted, and rebuilt from the log", async () => {
  using dir = temporaryDirectory();
  await stored(dir.path);
  const root = open({ path: dir.path, maxDbs: 8 });
  await root.openDB({ name: "meta" }).put("version", "0.0");
  await root.close();
  const again = await PartitionStore.open(dir.path, log);
  assert.is(again.mark, undefined);
  assert.not(again.has(ROOM));
  await again.close();
});

for (const [how, damage] of [
  ["was cut short", (file: string) => truncateSync(file, 16_384)],
  ["was cut within its first pages", (file: string) => truncateSync(file, 5_000)],
  ["has garbage at its start", (file: string) => writeFileSync(file, Buffer.alloc(65_536, 0xa5))],
] as const) {
  store(`whose file ${how} is set aside, not deleted, and rebuilt`, async () => {
    using dir = temporaryDirectory();
    const path = join(dir.path, "0");
    await stored(path);
    damage(join(path, "data.mdb"));
    const damaged = readFileSync(join(path, "data.mdb"));
    const again = await PartitionStore.open(path, log);
    assert.is(again.mark, undefined);
    again.commit(again.collect([foldedRoom(again.load(ROOM))], MARK));
    await again.close();
    const aside = readdirSync(dir.path).find((name) => name.startsWith("0.damaged-"));
    assert.ok(aside, "a directory next to it");
    assert.equal(readFileSync(join(dir.path, aside, "data.mdb")), damaged);
  });
}

store("that can't be read reports it, and is set aside at the next start", async () => {
  using dir = temporaryDirectory();
  const path = join(dir.path, "0");
  await stored(path);
  const broken = await PartitionStore.open(path, log);
  await broken.close(); // every read throws from here on
  assert.throws(
    () => broken.load(ROOM),
    (error: Error) => /the log has everything/.test(error.message),
  );
  assert.ok(existsSync(join(path, "damaged")));
  const again = await PartitionStore.open(path, log);
  assert.is(again.mark, undefined);
  await again.close();
});

store("refuses commits of a process whose directory was taken over by another one", async () => {
  using dir = temporaryDirectory();
  const first = await PartitionStore.open(dir.path, log);
  const second = await PartitionStore.open(dir.path, log);
  assert.throws(
    () => first.commit(first.collect([foldedRoom(first.load(ROOM))], MARK)),
    (error: TidemarkError) =>
      error.code === "STORE_FAILED" && /another process has taken this directory over/.test(error.message),
  );
  second.commit(second.collect([foldedRoom(second.load(ROOM))], MARK));
  await second.close();
});

store.run();
