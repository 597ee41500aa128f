/** Objects in a bucket, while the server or the way to it fails. The server is a real one, behind a relay that spoils answers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { objectName as name } from "../../src/archive/object-store.ts";
import type { S3Keys } from "../../src/archive/s3-requests.ts";
import { S3Store } from "../../src/archive/s3-store.ts";
import { TidemarkError } from "../../src/errors.ts";
import { failure } from "../support/failure.ts";
import { type Fault, faultyRelay } from "../support/faulty-relay.ts";
import { allOf } from "../support/object-stores.ts";
import { BUCKET, S3_KEYS, startS3Server } from "../support/s3-server.ts";

/** Short pauses. An answer that comes at all comes within the limit, however slow the machine is. */
const TIMES = { requestMs: 20_000, attempts: 3, retryMsMin: 1, retryMsMax: 5 };
const IMPATIENT = { ...TIMES, requestMs: 300 };

async function start({
  keys = S3_KEYS,
  times = TIMES,
  bucket = BUCKET,
}: {
  keys?: S3Keys;
  times?: typeof TIMES;
  bucket?: string;
} = {}) {
  const server = await startS3Server();
  const relay = await faultyRelay(server);
  const place = { bucket, prefix: "p", region: "us-east-1", pathStyle: true };
  const direct = new S3Store({ ...place, endpoint: new URL(server.url), keys: S3_KEYS });
  return {
    direct,
    relay,
    store: new S3Store({ ...place, endpoint: new URL(relay.url), keys, times, pageObjects: 2 }),
    [Symbol.asyncDispose]: async () => {
      await relay[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const ONE = name("one");
const BYTES = Buffer.from("0123456789".repeat(1_000));
const BUSY: Fault = { kind: "answer", status: 503, body: "<Error><Code>SlowDown</Code></Error>" };

const bucket = suite("an archive in a bucket");

bucket("repeats what fails on the way, and does it once in effect", async () => {
  await using made = await start();
  const { store, relay, direct } = made;
  for (const fault of [
    BUSY,
    { kind: "answer", status: 429 },
    { kind: "answer", status: 500, body: "no XML" },
    { kind: "reset" },
    { kind: "lost" },
  ] as const) {
    relay.faults.push(fault);
    await store.put(ONE, BYTES);
    assert.ok(BYTES.equals((await direct.get(ONE))!), fault.kind);
    relay.faults.push(fault);
    assert.ok(BYTES.equals((await store.get(ONE))!), fault.kind);
    relay.faults.push(fault);
    assert.is((await allOf(store.list(""))).length, 1, fault.kind);
    relay.faults.push(fault);
    await store.delete(ONE);
    assert.is(await direct.get(ONE), undefined);
  }
  assert.equal(relay.faults, []);
});

bucket("never takes a part of an object for the whole, or another part for the one that it asked for", async () => {
  await using made = await start();
  const { store, relay } = made;
  await store.put(ONE, BYTES);
  const range = { from: 10, length: 5_000 };
  const part = BYTES.subarray(10, 5_010);
  const other = { "content-range": "bytes 0-4999/10000" };
  for (const fault of [
    { kind: "cut", bytes: 100 },
    { kind: "cut", bytes: 0 },
    { kind: "shorten", bytes: 4_999 },
    { kind: "answer", status: 206, body: "x".repeat(5_000), headers: other },
    { kind: "answer", status: 206, body: "x".repeat(5_000) },
  ] as const satisfies readonly Fault[]) {
    relay.faults.push(fault);
    assert.ok(part.equals((await store.get(ONE, range))!), JSON.stringify(fault));
  }
  relay.faults.push({ kind: "cut", bytes: 9_999 });
  assert.ok(BYTES.equals((await store.get(ONE))!));
  assert.equal(relay.faults, []);
});

bucket("never takes a part of a list for the whole", async () => {
  await using made = await start();
  const { store, relay } = made;
  for (let i = 0; i < 5; i++) await store.put(name(`n${i}`), BYTES);
  for (const fault of [
    { kind: "cut", bytes: 500 },
    { kind: "shorten", bytes: 500 },
  ] as const) {
    relay.faults.push(fault, fault);
    assert.is((await allOf(store.list("n"))).length, 5, fault.kind);
  }
  relay.faults.push({ kind: "shorten", bytes: 200 }, { kind: "shorten", bytes: 300 }, { kind: "shorten", bytes: 0 });
  assert.match(await failure(allOf(store.list("n"))), /the list of objects is cut off/);
});

bucket("waits for nobody without end", async () => {
  await using made = await start({ times: IMPATIENT });
  const { store, relay, direct } = made;
  await direct.put(ONE, BYTES);
  for (const kind of ["silence", "stall"] as const) {
    relay.faults.push({ kind }, { kind }, { kind });
    assert.match(await failure(store.get(ONE)), /GET p\/one: not done within 300 ms/);
    assert.equal(relay.faults, []);
  }
});

bucket("gives up after some attempts, may be tried again, and is then as if nothing had been", async () => {
  await using made = await start();
  const { store, relay } = made;
  relay.faults.push(BUSY, BUSY, BUSY);
  const error = await store.put(ONE, BYTES).catch((reason: unknown) => reason);
  assert.instance(error, TidemarkError);
  assert.ok((error as TidemarkError).shouldRetry());
  assert.match((error as TidemarkError).message, /failed: PUT p\/one: SlowDown \(status 503\)/);
  assert.is(relay.requests.length, 3);
  await store.put(ONE, BYTES);
  assert.ok(BYTES.equals((await store.get(ONE))!));
});

bucket("is told of a refusal at once, and names no key", async () => {
  await using wrong = await start({ keys: { accessKeyId: "S3RVER", secretAccessKey: "a-secret-of-mine" } });
  const said = await failure(wrong.store.put(ONE, BYTES));
  assert.match(said, /PUT p\/one: SignatureDoesNotMatch \(status 403\)/);
  assert.not.match(said, /secret|S3RVER/);
  assert.is(wrong.relay.requests.length, 1);
  await using missing = await start({ bucket: "no-such-bucket" });
  assert.match(await failure(allOf(missing.store.list(""))), /NoSuchBucket \(status 404\)/);
});

bucket("reads no more than an object, or a range, may have", async () => {
  await using made = await start();
  const { store, relay, direct } = made;
  await direct.put(ONE, BYTES);
  relay.faults.push({ kind: "answer", status: 200, body: BYTES.toString() });
  assert.match(await failure(store.get(ONE, { from: 0, length: 10 })), /must support ranges/);
});

bucket.run();
