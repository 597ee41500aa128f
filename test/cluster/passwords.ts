/** The servers' configuration, whose passwords can be changed while they run (docs/operations.md#changing-passwords). */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CLUSTER_LIMIT_MS, eventually } from "../support/harness.ts";
import { NATS_CONF, type NatsCluster, type User } from "../support/nats-cluster.ts";

const OTHER_PASSWORD = "anotherPasswordThanTheProcessesHave";
const LOADED = "Reloaded server configuration";

export class Passwords {
  readonly conf: string;
  readonly #file: string;

  private constructor(dir: string) {
    this.conf = join(dir, "nats.conf");
    this.#file = join(dir, "passwords.conf");
  }

  /** Writes the configuration. Nobody is refused by it. */
  static async write(dir: string): Promise<Passwords> {
    const passwords = new Passwords(dir);
    await writeFile(passwords.conf, `include "passwords.conf"\n${await readFile(NATS_CONF, "utf8")}`);
    await passwords.#refuse([]);
    return passwords;
  }

  /** Has the servers refuse these users, and take all others. Resolves once all servers do. */
  async refuse({ servers }: NatsCluster, users: readonly User[]): Promise<void> {
    await this.#refuse(users);
    for (const server of servers) {
      const loaded = () => server.log.filter((line) => line.includes(LOADED)).length;
      const before = loaded();
      server.kill("SIGHUP");
      await eventually(() => loaded() > before, `${server.name} has loaded its configuration`, CLUSTER_LIMIT_MS);
    }
  }

  async #refuse(users: readonly User[]): Promise<void> {
    const lines = users.map((user) => `NATS_${user.toUpperCase()}_PASSWORD: ${OTHER_PASSWORD}`);
    // Those of others come from the servers' environment.
    await writeFile(this.#file, ["# Passwords that differ.", ...lines, ""].join("\n"));
  }
}
