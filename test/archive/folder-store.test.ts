/** Objects as files: who can read them, and what a killed process leaves. */
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FolderStore } from "../../src/archive/folder-store.ts";
import { objectName as name } from "../../src/archive/object-store.ts";
import { TidemarkError } from "../../src/errors.ts";
import { failure } from "../support/failure.ts";
import { allOf } from "../support/object-stores.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const DAY_MS = 24 * 3_600_000;
const modeOf = (path: string) => statSync(path).mode & 0o777;

const folder = suite("an archive in a folder");

folder("is for its user alone", async () => {
  using dir = temporaryDirectory();
  const root = join(dir.path, "new/archive");
  const store = await FolderStore.open(root);
  await store.put(name("p0/segments/one"), Buffer.from("one"));
  for (const path of [root, join(root, "p0"), join(root, "p0/segments")]) assert.is(modeOf(path), 0o700, path);
  assert.is(modeOf(join(root, "p0/segments/one")), 0o600);
});

folder("shows nothing of a write that did not end, and removes what is left of it a day later", async () => {
  using dir = temporaryDirectory();
  const store = await FolderStore.open(dir.path);
  await store.put(name("p0/one"), Buffer.from("one"));
  const [left, running] = [join(dir.path, "p0/.1.partial"), join(dir.path, "p0/.2.partial")];
  for (const path of [left, running]) writeFileSync(path, "half");
  const before = new Date(Date.now() - 2 * DAY_MS);
  utimesSync(left, before, before);
  assert.equal(
    (await allOf(store.list(""))).map((object) => object.name as string),
    ["p0/one"],
  );
  await FolderStore.open(dir.path);
  assert.equal(readdirSync(join(dir.path, "p0")).sort(), [".2.partial", "one"]);
});

folder("passes over what others put there", async () => {
  using dir = temporaryDirectory();
  const store = await FolderStore.open(dir.path);
  await store.put(name("p0/one"), Buffer.from("one"));
  writeFileSync(join(dir.path, "Notes of mine"), "");
  mkdirSync(join(dir.path, "p0/.snapshot"));
  writeFileSync(join(dir.path, "p0/.snapshot/one"), "");
  assert.is((await allOf(store.list(""))).length, 1);
});

folder("that can't be used says so, leaves nothing half done, and can be tried again", async () => {
  using dir = temporaryDirectory();
  const store = await FolderStore.open(dir.path);
  mkdirSync(join(dir.path, "taken/inside"), { recursive: true });
  assert.match(await failure(store.put(name("taken"), Buffer.from("x"))), /failed to write taken: /);
  assert.equal(readdirSync(dir.path), ["taken"]);
  writeFileSync(join(dir.path, "file"), "");
  const error = await FolderStore.open(join(dir.path, "file/below")).catch((reason: unknown) => reason);
  assert.instance(error, TidemarkError);
  assert.is((error as TidemarkError).code, "ARCHIVE_UNAVAILABLE");
  assert.ok((error as TidemarkError).shouldRetry());
});

folder.run();
