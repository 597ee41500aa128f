/**
 * How far each destination has been served: the sequence of the federation stream through which everything is sent, in
 * a bucket. Whatever a reader had in memory beyond it is read again from the stream.
 */
import type { KV } from "nats";
import type { ServerName } from "../../matrix/ids.ts";
import { type Bus, translate } from "../client/connection.ts";
import { bindBucket } from "../client/streams.ts";
import { FEDERATION_CURSORS_BUCKET, FEDERATION_STREAM } from "../contract/subjects.ts";

export class FederationCursors {
  readonly #bucket: KV;
  /** Tells this stream from one that had its name before: sequences begin anew with it. */
  readonly #stream: string;

  private constructor(bucket: KV, stream: string) {
    this.#bucket = bucket;
    this.#stream = stream;
  }

  static async open(nc: Bus): Promise<FederationCursors> {
    try {
      const jsm = await nc.jetstreamManager({ checkAPI: false });
      const { created } = await jsm.streams.info(FEDERATION_STREAM);
      return new FederationCursors(await bindBucket(nc, FEDERATION_CURSORS_BUCKET), created);
    } catch (error) {
      throw translate(error, "read how far destinations are served");
    }
  }

  /** 0 when nothing was sent to it yet. */
  async get(destination: ServerName): Promise<number> {
    const stored = (await this.#bucket.get(keyOf(destination)))?.string().split(" ");
    const sequence = Number(stored?.[0]);
    return stored?.[1] === this.#stream && Number.isSafeInteger(sequence) ? sequence : 0;
  }

  async put(destination: ServerName, sequence: number): Promise<void> {
    await this.#bucket.put(keyOf(destination), `${sequence} ${this.#stream}`);
  }
}

/** A key may not have the colon or the brackets of a server name. */
function keyOf(destination: ServerName): string {
  return destination.replace(/[:[\]]/g, (char) => `=${char.charCodeAt(0).toString(16)}`);
}
