/**
 * How far each destination has been served: the sequence of its federation stream through which everything was sent, in a
 * bucket. What a reader had in memory beyond that is read from the stream again.
 */
import type { ServerName } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import { existingStream } from "../client/jetstream.ts";
import { type Bucket, openBucket } from "../client/kv.ts";
import { FEDERATION_CURSORS_BUCKET, federationStream, shardOf } from "../contract/subjects.ts";

export class FederationCursors {
  readonly #bucket: Bucket;
  /** When each shard's stream was made: sequences start again with a stream, so a cursor of an earlier one is ignored. */
  readonly #created: readonly string[];

  private constructor(bucket: Bucket, created: readonly string[]) {
    this.#bucket = bucket;
    this.#created = created;
  }

  /** Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  static async open(nc: Bus, shards: number): Promise<FederationCursors> {
    const streams = Array.from({ length: shards }, (_, shard) => existingStream(nc, federationStream(shard)));
    const created = (await Promise.all(streams)).map((stream) => stream.created);
    return new FederationCursors(await openBucket(nc, FEDERATION_CURSORS_BUCKET), created);
  }

  /** 0 when nothing was sent to it yet. */
  async get(destination: ServerName): Promise<number> {
    const stored = (await this.#bucket.get(keyOf(destination)))?.split(" ");
    const sequence = Number(stored?.[0]);
    return stored?.[1] === this.#createdFor(destination) && Number.isSafeInteger(sequence) ? sequence : 0;
  }

  async put(destination: ServerName, sequence: number): Promise<void> {
    await this.#bucket.put(keyOf(destination), `${sequence} ${this.#createdFor(destination)}`);
  }

  #createdFor(destination: ServerName): string {
    return this.#created[shardOf(destination, this.#created.length)]!;
  }
}

/** A key may not contain the colon or the brackets of a server name. */
function keyOf(destination: ServerName): string {
  return destination.replace(/[:[\]]/g, (char) => `=${char.charCodeAt(0).toString(16)}`);
}
