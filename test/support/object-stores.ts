/** Stores that tests run against: every one that an archive can be in. */
import { FolderStore } from "../../src/archive/folder-store.ts";
import type { ObjectStore, StoredObject } from "../../src/archive/object-store.ts";
import { S3Store } from "../../src/archive/s3-store.ts";
import { faultyRelay } from "./faulty-relay.ts";
import { BUCKET, S3_KEYS, startS3Server } from "./s3-server.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface TestStore extends AsyncDisposable {
  readonly store: ObjectStore;
}

export const STORES: Readonly<Record<string, () => Promise<TestStore>>> = {
  "a folder": async () => {
    const dir = temporaryDirectory();
    const store = await FolderStore.open(`${dir.path}/archive`);
    return { store, [Symbol.asyncDispose]: async () => dir[Symbol.dispose]() };
  },
  "a bucket": async () => {
    const server = await startS3Server();
    const relay = await faultyRelay(server);
    const endpoint = new URL(relay.url);
    const place = {
      bucket: BUCKET,
      prefix: "one/place",
      endpoint,
      region: "us-east-1",
      pathStyle: true,
      keys: S3_KEYS,
    };
    return {
      store: new S3Store({ ...place, pageObjects: 3 }),
      [Symbol.asyncDispose]: async () => {
        await relay[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  },
};

export async function allOf(objects: AsyncIterable<StoredObject>): Promise<StoredObject[]> {
  const all: StoredObject[] = [];
  for await (const object of objects) all.push(object);
  return all;
}
