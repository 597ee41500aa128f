/**
 * Buckets: rows by key, as the key-value stores of NATS keep them.
 *
 * A bucket is a stream `KV_<bucket>` that keeps the newest message of each subject `$KV.<bucket>.<key>`. A message with the
 * header `KV-Operation` deletes its row; unlike the client library's, a deletion here may carry a text.
 * A row's revision is its message's sequence, so it grows with every write to the bucket.
 */
import { type Bus, headersOf, translate } from "./connection.ts";
import type { StoredMessage } from "./delivered.ts";
import { append, existingStream, messagesBySubject, newestMessage } from "./jetstream.ts";
import { StreamReader } from "./stream-reader.ts";

const OPERATION = "KV-Operation";

export interface Row {
  readonly key: string;
  readonly revision: number;
  /** When the broker stored it: Unix time in ms. */
  readonly at: number;
  readonly deleted: boolean;
  /** Empty when there is none. */
  readonly text: string;
}

interface BucketSettings {
  readonly replicas: number;
  /** Rows are removed when they are this old. Default: never. */
  readonly ttlMs?: number;
}

/** Makes a bucket unless it exists. An existing one is not changed. `api`: as for `manager`. Throws `BUS_UNAVAILABLE`. */
export async function ensureBucket(
  nc: Bus,
  name: string,
  { replicas, ttlMs }: BucketSettings,
  api?: string,
): Promise<Bucket> {
  try {
    const jetstream = nc.jetstream({ checkAPI: false, ...(api !== undefined && { apiPrefix: api }) });
    await jetstream.views.kv(name, { history: 1, replicas, ...(ttlMs !== undefined && { ttl: ttlMs }) });
  } catch (error) {
    throw translate(error, `make the bucket ${name} with ${replicas} replicas`);
  }
  return new Bucket(nc, name);
}

/** Opens a bucket that a worker has made. Throws `BUS_UNAVAILABLE` when it doesn't exist. */
export async function openBucket(nc: Bus, name: string): Promise<Bucket> {
  await existingStream(nc, streamOf(name));
  return new Bucket(nc, name);
}

export function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

export class Bucket {
  readonly #nc: Bus;
  readonly #stream: string;
  readonly #prefix: string;
  readonly #api: string | undefined;

  /** Does nothing with the broker: the bucket need not exist. `api`: to read that of another account, as for `manager`. */
  constructor(nc: Bus, name: string, api?: string) {
    this.#nc = nc;
    this.#api = api;
    this.#stream = streamOf(name);
    this.#prefix = `$KV.${name}.`;
  }

  /** Returns the text of a row; undefined when it doesn't exist, or is deleted. */
  async get(key: string): Promise<string | undefined> {
    const row = await this.row(key);
    return row === undefined || row.deleted ? undefined : row.text;
  }

  /** The newest write to a key, deletions included. */
  async row(key: string): Promise<Row | undefined> {
    const message = await newestMessage(this.#nc, this.#stream, this.#prefix + key, this.#api);
    return message && this.#rowOf(message);
  }

  /** All rows that are not deleted. `keys`: those of these keys, with `*` for one token. Default: all. */
  async rows(keys = ">"): Promise<Row[]> {
    const subjects = await messagesBySubject(this.#nc, this.#stream, this.#prefix + keys, this.#api);
    const found = Array.from(subjects?.keys() ?? [], (subject) => subject.slice(this.#prefix.length));
    const rows = await Promise.all(found.map((key) => this.row(key)));
    return rows.flatMap((row) => (row === undefined || row.deleted ? [] : [row]));
  }

  /** Writes a row, whatever it was before. Returns its revision. */
  async put(key: string, text: string): Promise<number> {
    return (await append(this.#nc, this.#prefix + key, text))!;
  }

  /** Writes a row if its revision is `after` (0: it was never written). Returns the new revision; undefined when it is another. */
  putAfter(key: string, after: number, text: string): Promise<number | undefined> {
    return append(this.#nc, this.#prefix + key, text, { after: { subjectSequence: after } });
  }

  /** The same for a deletion. */
  deleteAfter(key: string, after: number, text = ""): Promise<number | undefined> {
    return append(this.#nc, this.#prefix + key, text, {
      after: { subjectSequence: after },
      headers: headersOf({ [OPERATION]: "DEL" }),
    });
  }

  /** Calls back with every row as it is now, deletions included, and then with every write, in the order of revisions. */
  watch(onRow: (row: Row) => void): StreamReader {
    return new StreamReader(this.#nc, {
      stream: this.#stream,
      subject: `${this.#prefix}>`,
      from: "latest",
      onMessage: (message) => onRow(this.#rowOf(message)),
    });
  }

  #rowOf({ subject, sequence, at, headers, data }: StoredMessage): Row {
    return {
      key: subject.slice(this.#prefix.length),
      revision: sequence,
      at,
      deleted: Boolean(headers?.get(OPERATION)),
      text: Buffer.from(data).toString(),
    };
  }
}
