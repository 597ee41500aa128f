/** Which servers receipts are published for, and the queue of each. */
import { type Bus, connectBus } from "../bus/client/connection.ts";
import { closeBus } from "../bus/client/gathered-writes.ts";
import { messagesBySubject } from "../bus/client/jetstream.ts";
import { decodeToken, federationStream, federationSubject, lastToken } from "../bus/contract/subjects.ts";
import { FederationCursors } from "../bus/deltas/federation-cursors.ts";
import { awaitStreams, federationShards } from "../bus/partition-count.ts";
import { TidemarkError } from "../errors.ts";
import { CLUSTER_READY_MS_MAX, FEDERATION_PENDING_MAX } from "../limits.ts";
import { type ServerName, serverName } from "../matrix/ids.ts";
import { Destination } from "./destination.ts";

export interface FederationOptions {
  /** `nats://user:password@host:port`; several, separated by commas, for a cluster. */
  readonly nats: string;
  /** A file with the password, or with two, one a line, while it is being changed. It is read for each attempt to connect. */
  readonly passwordFile?: string;
  /** The most receipts in memory per destination; the rest stays in the stream. Default: 50,000. */
  readonly pendingMax?: number;
  /** How long a worker that starts may take to make the streams, in ms. Default: 60,000. */
  readonly readyMs?: number;
}

/** Connects. Throws `BUS_UNAVAILABLE` when there is no broker, or when no worker makes the streams on it in time. */
export async function openFederation({
  nats,
  passwordFile,
  pendingMax = FEDERATION_PENDING_MAX,
  readyMs = CLUSTER_READY_MS_MAX,
}: FederationOptions): Promise<Federation> {
  const nc = await connectBus({ url: nats, passwordFile, name: "tidemark federation" });
  try {
    return await awaitStreams(AbortSignal.timeout(readyMs), async () => {
      const shards = await federationShards(nc);
      const cursors = await FederationCursors.open(nc, shards);
      return new Federation({ nc, cursors, shards, pendingMax });
    });
  } catch (error) {
    await closeBus(nc);
    throw error;
  }
}

interface Opened {
  readonly nc: Bus;
  readonly cursors: FederationCursors;
  readonly shards: number;
  readonly pendingMax: number;
}

export class Federation implements AsyncDisposable {
  readonly #nc: Bus;
  readonly #cursors: FederationCursors;
  readonly #shards: number;
  readonly #pendingMax: number;
  readonly #open = new Set<Destination>();

  /** @internal */
  constructor({ nc, cursors, shards, pendingMax }: Opened) {
    this.#nc = nc;
    this.#cursors = cursors;
    this.#shards = shards;
    this.#pendingMax = pendingMax;
  }

  /**
   * The queue of one server, from where its last reader stopped. Read each server's queue in one process only: two readers
   * would both send everything. Throws `M_INVALID_PARAM` for a malformed server name.
   */
  async destination(name: string): Promise<Destination> {
    const parsed = serverName.safeParse(name);
    if (!parsed.success) throw new TidemarkError("M_INVALID_PARAM", `server: ${parsed.error.issues[0]?.message}`);
    const destination = await Destination.open({
      nc: this.#nc,
      cursors: this.#cursors,
      shards: this.#shards,
      server: parsed.data,
      pendingMax: this.#pendingMax,
      closed: (closed) => this.#open.delete(closed),
    });
    this.#open.add(destination);
    return destination;
  }

  /** Every server that receipts were published for: those in the streams, then each new one. Ends with `close`. */
  async *destinations(): AsyncGenerator<ServerName> {
    const seen = new Set<ServerName>();
    const unseen = (subject: string): ServerName | undefined => {
      const server = serverName.safeParse(decodeToken(lastToken(subject))).data;
      if (server === undefined || seen.has(server)) return undefined;
      seen.add(server);
      return server;
    };
    const subscription = this.#nc.subscribe(federationSubject.every);
    try {
      for (const subject of await this.#storedSubjects()) {
        const server = unseen(subject);
        if (server !== undefined) yield server;
      }
      for await (const { subject } of subscription) {
        const server = unseen(subject);
        if (server !== undefined) yield server;
      }
    } finally {
      subscription.unsubscribe();
    }
  }

  /** Closes all destinations and the connection. */
  async close(): Promise<void> {
    for (const destination of [...this.#open]) destination.close();
    await closeBus(this.#nc);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #storedSubjects(): Promise<string[]> {
    const subjects: string[] = [];
    for (let shard = 0; shard < this.#shards; shard++) {
      const stored = await messagesBySubject(this.#nc, federationStream(shard), federationSubject.every);
      subjects.push(...(stored?.keys() ?? []));
    }
    return subjects;
  }
}
