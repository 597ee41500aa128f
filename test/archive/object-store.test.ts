/** What every object store does, folder and S3 server alike. */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { isObjectName, objectName as name } from "../../src/archive/object-store.ts";
import { failure } from "../support/failure.ts";
import { allOf, STORES } from "../support/object-stores.ts";

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

for (const [kind, make] of Object.entries(STORES)) {
  const objects = suite(`objects in ${kind}`);

  objects("are read as they were written, whole and in parts", async () => {
    await using made = await make();
    const { store } = made;
    const bytes = randomBytes(300_000);
    await store.put(name("p0/one"), bytes);
    await store.put(name("p0/none"), new Uint8Array());
    assert.ok(bytes.equals((await store.get(name("p0/one")))!));
    assert.is((await store.get(name("p0/none")))!.length, 0);
    for (const [from, length] of [
      [0, 2],
      [0, 300_000],
      [299_999, 1],
      [65_535, 131_074],
    ] as const) {
      assert.ok(bytes.subarray(from, from + length).equals((await store.get(name("p0/one"), { from, length }))!));
    }
  });

  objects("that are not there are undefined, and those that end too early are damaged", async () => {
    await using made = await make();
    const { store } = made;
    assert.is(await store.get(name("p0/one")), undefined);
    assert.is(await store.get(name("p0/one"), { from: 3, length: 1 }), undefined);
    await store.put(name("p0/one"), Buffer.from("0123"));
    for (const range of [
      { from: 0, length: 5 },
      { from: 3, length: 2 },
      { from: 4, length: 1 },
      { from: 400, length: 100 },
    ]) {
      const end = range.from + range.length;
      assert.is(await failure(store.get(name("p0/one"), range)), `p0/one of the archive ends before byte ${end}`);
    }
  });

  objects("are replaced, and deleted, as often as one likes", async () => {
    await using made = await make();
    const { store } = made;
    await store.delete(name("p0/one"));
    await store.put(name("p0/one"), Buffer.from("first"));
    await store.put(name("p0/one"), Buffer.from("2nd"));
    await store.put(name("p0/one"), Buffer.from("2nd"));
    assert.is(text(await store.get(name("p0/one"))), "2nd");
    await store.delete(name("p0/one"));
    await store.delete(name("p0/one"));
    assert.is(await store.get(name("p0/one")), undefined);
  });

  objects("are listed by prefix, over several pages", async () => {
    await using made = await make();
    const { store } = made;
    const names = ["a/b", "a/b-c/d", "a/bc", "ab/c", "b/1", "b/10", "b/2", "b/3", "c", "d-e.f_g/h"];
    for (const each of names) await store.put(name(each), Buffer.from(each));
    const listed = async (prefix: string) => {
      const found = await allOf(store.list(prefix));
      for (const object of found) assert.is(object.bytes, object.name.length);
      return found.map((object) => object.name as string).sort();
    };
    assert.equal(await listed(""), names);
    for (const prefix of ["a", "a/", "a/b", "b/1", "c", "d", "e", "a/b/c"]) {
      assert.equal(
        await listed(prefix),
        names.filter((each) => each.startsWith(prefix)),
        prefix,
      );
    }
  });

  objects("are whole when many are written at the same time", async () => {
    await using made = await make();
    const { store } = made;
    const bodies = Array.from({ length: 24 }, (_, i) => Buffer.alloc(100_000 + i, i));
    await Promise.all(bodies.map((body, i) => store.put(name(`p${i % 3}/${i}`), body)));
    for (const [i, body] of bodies.entries()) assert.ok(body.equals((await store.get(name(`p${i % 3}/${i}`)))!));
    assert.is((await allOf(store.list("p"))).length, bodies.length);
  });

  objects.run();
}

const names = suite("names of objects");

names("never leave their folder, and differ by more than case", () => {
  for (const valid of ["a", "0", "p0/manifest/12.json", "a/b_c-d..e"]) assert.ok(isObjectName(valid), valid);
  for (const wrong of ["", ".", "..", "/a", "a/", "a//b", "a/../b", "a/.b", "A", "a b", "a\\b", "a\n", "é", "a%2fb"]) {
    assert.not(isObjectName(wrong), wrong);
    assert.throws(() => name(wrong), /no name/);
  }
  assert.not(isObjectName("a".repeat(201)));
});

names.run();
