/**
 * What the partitions say, heard in two places: on core subjects, by a subscriber at each server, so that a server that is away
 * hides nothing; and by a front-end, which reads the mirrors, as gateways do.
 */
import type { NatsConnection } from "nats";
import { connect, type Frontend } from "../../src/frontend/frontend.ts";
import { decoded } from "../support/harness.ts";
import type { NatsCluster } from "../support/nats-cluster.ts";
import { type Silence, Silences } from "./silences.ts";

const CALM_POLL_MS = 3_000;
const CALM_SILENT_MS_MAX = 500;
const CALM_ATTEMPTS_MAX = 10;
const RECONNECT_MS = 100;

interface Heard {
  /** On core subjects. */
  readonly published: Silence;
  /** By a front-end. */
  readonly read: Silence;
}

export interface HeardPeriod {
  end(): Heard;
}

export class Voices implements AsyncDisposable {
  readonly #published = new Silences();
  readonly #read = new Silences();
  readonly #subscribers: NatsConnection[] = [];
  readonly #frontend: Frontend;

  private constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  static async listen(cluster: NatsCluster, partitions: number): Promise<Voices> {
    const frontend = await connect({ nats: cluster.url("frontend") });
    const voices = new Voices(frontend);
    try {
      for (const { host, port } of cluster.servers) {
        const options = { servers: `${host}:${port}`, reconnectTimeWait: RECONNECT_MS, waitOnFirstConnect: true };
        const nc = await cluster.connect("frontend", options);
        voices.#subscribers.push(nc);
        for (const subject of ["tidemark.client.>", "tidemark.user.>"]) {
          nc.subscribe(subject, {
            callback: (error, { subject, data }) =>
              error ??
              voices.#published.spoke(Number(subject.split(".")[2]), decoded(data).position, performance.now()),
          });
        }
        await nc.flush();
      }
      for (let partition = 0; partition < partitions; partition++) {
        await frontend.follow(partition, {
          begin: () => {},
          delta: ({ position }) => voices.#read.spoke(partition, position, performance.now()),
          lost: () => {}, // A gap. What follows it is heard.
          restarted: () => {},
        });
      }
      return voices;
    } catch (error) {
      await voices[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** An entry that must be published is acknowledged. */
  entered(partition: number, position: number): void {
    for (const silences of [this.#published, this.#read]) silences.entered(partition, position, performance.now());
  }

  begin(): HeardPeriod {
    const [published, read] = [this.#published, this.#read].map((silences) => silences.begin(performance.now()));
    return {
      end: () => {
        const at = performance.now();
        return { published: published!.end(at), read: read!.end(at) };
      },
    };
  }

  /** Whether a delta of this position or a later one was heard in both places. */
  has(partition: number, position: number): boolean {
    return [this.#published, this.#read].every((silences) => silences.spokenThrough(partition) >= position);
  }

  /** Resolves once no partition is silent for long any more, or after `CALM_ATTEMPTS_MAX` attempts. */
  async calm(): Promise<void> {
    for (let i = 0; i < CALM_ATTEMPTS_MAX; i++) {
      const period = this.begin();
      await new Promise((resolve) => setTimeout(resolve, CALM_POLL_MS));
      if (period.end().published.silentMs < CALM_SILENT_MS_MAX) return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#frontend.close();
    for (const nc of this.#subscribers) await nc.close();
  }
}
