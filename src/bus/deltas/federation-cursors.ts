/**
 * How far each destination has been served: the sequence of the federation stream through which everything was sent, in a
 * bucket. What a reader had in memory beyond that is read from the stream again.
 */
import type { ServerName } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import { existingStream } from "../client/jetstream.ts";
import { type Bucket, openBucket } from "../client/kv.ts";
import { FEDERATION_CURSORS_BUCKET, FEDERATION_STREAM } from "../contract/subjects.ts";

export class FederationCursors {
  readonly #bucket: Bucket;
  /** When the stream was made: a cursor of an earlier stream of this name is ignored, because sequences start again with it. */
  readonly #stream: string;

  private constructor(bucket: Bucket, stream: string) {
    this.#bucket = bucket;
    this.#stream = stream;
  }

  /** Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  static async open(nc: Bus): Promise<FederationCursors> {
    const { created } = await existingStream(nc, FEDERATION_STREAM);
    return new FederationCursors(await openBucket(nc, FEDERATION_CURSORS_BUCKET), created);
  }

  /** 0 when nothing was sent to it yet. */
  async get(destination: ServerName): Promise<number> {
    const stored = (await this.#bucket.get(keyOf(destination)))?.split(" ");
    const sequence = Number(stored?.[0]);
    return stored?.[1] === this.#stream && Number.isSafeInteger(sequence) ? sequence : 0;
  }

  async put(destination: ServerName, sequence: number): Promise<void> {
    await this.#bucket.put(keyOf(destination), `${sequence} ${this.#stream}`);
  }
}

/** A key may not contain the colon or the brackets of a server name. */
function keyOf(destination: ServerName): string {
  return destination.replace(/[:[\]]/g, (char) => `=${char.charCodeAt(0).toString(16)}`);
}
