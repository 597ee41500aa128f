import { suite } from "uvu";
import * as assert from "uvu/assert";
import { federationSubject, partitionOf, shardOf } from "../../../src/bus/contract/subjects.ts";
import type { RoomId, ServerName } from "../../../src/matrix/ids.ts";

const partition = suite("partition of a room");

/** The official test vectors of FNV-1a, 32 bit. With a modulus of 2^32, the partition is the whole hash. */
const VECTORS = {
  "": 0x811c9dc5,
  a: 0xe40c292c,
  b: 0xe70c2de5,
  foo: 0xa9f37ed7,
  foobar: 0xbf9cf968,
};

partition("is FNV-1a-32 of its id", () => {
  for (const [text, hash] of Object.entries(VECTORS)) assert.is(partitionOf(text as RoomId, 2 ** 32), hash, text);
});

partition("depends on the bytes of UTF-8", () => {
  let hash = 0x811c9dc5n;
  for (const byte of [0x21, 0xc3, 0xa9]) hash = ((hash ^ BigInt(byte)) * 0x01000193n) % 2n ** 32n;
  assert.is(partitionOf("!é" as RoomId, 2 ** 32), Number(hash));
});

partition("never changes", () => {
  const rooms = [
    "!a:example.org",
    "!b:example.org",
    "!room:one.example",
    "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
  ];
  assert.equal(
    rooms.map((room) => partitionOf(room as RoomId, 8)),
    [7, 6, 5, 6],
  );
});

partition("is below the count, and evenly distributed", () => {
  const shares = new Array<number>(8).fill(0);
  for (let i = 0; i < 8_000; i++) shares[partitionOf(`!${i}:example.org` as RoomId, 8)]!++;
  assert.is(shares.length, 8);
  for (const share of shares) assert.ok(share > 800 && share < 1_200, String(share));
});

partition("is 0 if there is only one", () => {
  assert.is(partitionOf("!a:example.org" as RoomId, 1), 0);
});

const shard = suite("shard of a server");

shard("is FNV-1a-32 of its name, and stands before it in the subject", () => {
  for (const [text, hash] of Object.entries(VECTORS)) assert.is(shardOf(text as ServerName, 2 ** 32), hash, text);
  const server = "there.example" as ServerName;
  assert.is(federationSubject(shardOf(server, 4), server), "tidemark.federation.1.there%2Eexample");
});

partition.run();
shard.run();
