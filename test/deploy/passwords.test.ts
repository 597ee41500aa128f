/** Passwords of `nats.conf` that are changed while everything runs, as docs/operations.md#changing-passwords says; and ones that are refused. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Bus, connectBus } from "../../src/bus/client/connection.ts";
import { send } from "../../src/bus/client/request.ts";
import { openFederation } from "../../src/federation-sender/federation-client.ts";
import { connect } from "../../src/frontend/frontend.ts";
import { roomId } from "../../src/matrix/ids.ts";
import { CLUSTER_LIMIT_MS, eventually, rejects } from "../support/harness.ts";
import { NATS_CONF, type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { plainMessage, startRole } from "../support/operated-cluster.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = roomId.parse("!room:a");
/** All users of `nats.conf`. */
const ROLES = ["homeserver", "ingress", "worker", "frontend", "gateway", "federation", "admin", "system"] as const;
/** Of the sender, after each acknowledgement. */
const SEND_PAUSE_MS = 20;

type Role = (typeof ROLES)[number];

const countIn = (lines: readonly string[], words: string) => lines.filter((line) => line.includes(words)).length;

/** The files that docs/operations.md tells of, for a cluster that is started with them. */
class PasswordFiles {
  readonly #dir: string;
  readonly #taken = new Map<Role, string>();
  #routes = "";

  constructor(dir: string) {
    this.#dir = dir;
  }

  get conf(): string {
    return join(this.#dir, "nats.conf");
  }

  /** A process's file. */
  of(role: Role): string {
    return join(this.#dir, role);
  }

  async give(role: Role, ...passwords: readonly string[]): Promise<void> {
    await writeFile(this.of(role), passwords.map((password) => `${password}\n`).join(""));
  }

  /** What the servers take of this user. */
  taken(role: Role): string {
    return this.#taken.get(role)!;
  }

  /** What the servers take once they have loaded it. */
  async take(passwords: Readonly<Partial<Record<Role, string>>>): Promise<void> {
    for (const role of ROLES) this.#taken.set(role, passwords[role] ?? this.taken(role));
    await this.#write();
  }

  /** The servers' password for one another, and where they reach one another with it. */
  async takeRoutes(password: string, routes: readonly string[]): Promise<void> {
    const urls = routes.map((route) => `"nats://tidemark:${password}@${route}"`);
    this.#routes = `NATS_ROUTE_PASSWORD: ${password}\nNATS_ROUTES: [${urls.join(", ")}]\n`;
    await this.#write();
  }

  async #write(): Promise<void> {
    const lines = [...this.#taken].map(([role, password]) => `NATS_${role.toUpperCase()}_PASSWORD: ${password}\n`);
    await writeFile(join(this.#dir, "passwords.conf"), lines.join("") + this.#routes);
  }

  async begin(password: (role: Role) => string): Promise<void> {
    await writeFile(this.conf, `include "passwords.conf"\n${await readFile(NATS_CONF, "utf8")}`);
    for (const role of ROLES) await this.give(role, password(role));
    await this.take(Object.fromEntries(ROLES.map((role) => [role, password(role)])));
  }
}

async function loadAgain({ servers }: NatsCluster): Promise<void> {
  for (const server of servers) {
    const loaded = () => countIn(server.log, "Reloaded server configuration");
    const before = loaded();
    server.kill("SIGHUP");
    await eventually(() => loaded() > before, `${server.name} has loaded its configuration`, CLUSTER_LIMIT_MS);
  }
}

const urlOf = (cluster: NatsCluster, role: Role) => cluster.url(role).replaceAll(/:\w+@/g, "@");

/** Sends one event after another; each is sent again until it is acknowledged, as a homeserver does. */
class Sender implements AsyncDisposable {
  readonly acknowledged: string[] = [];
  #stopped = false;
  readonly #sending: Promise<void>;

  constructor(nc: Bus) {
    this.#sending = this.#send(nc);
  }

  async #send(nc: Bus): Promise<void> {
    for (let n = 1; !this.#stopped; ) {
      const id = `$${n}`;
      try {
        await send(nc, { kind: "event", room: ROOM }, [plainMessage(id)]);
      } catch {
        continue;
      }
      this.acknowledged.push(id);
      n++;
      await delay(SEND_PAUSE_MS);
    }
  }

  /** Resolves once more is acknowledged that was sent after this call. */
  async goesOn(): Promise<void> {
    const before = this.acknowledged.length;
    await eventually(() => this.acknowledged.length > before + 1, "writes are acknowledged", CLUSTER_LIMIT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#sending;
  }
}

interface Checked {
  readonly sender: Sender;
  /** Resolves once every other process is connected, and served by the broker. */
  areBack(): Promise<void>;
}

/**
 * Worker, ingress, front-end, gateway and federation sender, an operator's connections, and a homeserver that sends: each as its
 * own user, with its password in a file.
 */
async function whileWritten(
  cluster: NatsCluster,
  files: PasswordFiles,
  work: (checked: Checked) => Promise<void>,
): Promise<void> {
  const using = (role: Role) => ({ nats: urlOf(cluster, role), natsPasswordFile: files.of(role) });
  await using _worker = await startRole(cluster, "worker", { partitions: 1, ...using("worker") });
  await using _ingress = await startRole(cluster, "ingress", using("ingress"));
  await using frontend = await connect({ nats: urlOf(cluster, "frontend"), passwordFile: files.of("frontend") });
  await using gateway = await startRole(cluster, "gateway", using("gateway"));
  const connectionOf = (role: Role) =>
    connectBus({ url: urlOf(cluster, role), name: role, passwordFile: files.of(role) });
  await using federation = await openFederation({
    nats: urlOf(cluster, "federation"),
    passwordFile: files.of("federation"),
  });
  const [nc, ...operators] = await Promise.all((["homeserver", "admin", "system"] as const).map(connectionOf));
  const isBack = {
    gateway: () => !gateway.isBrokerAway(),
    federation: async () => {
      (await federation.destination("far.org")).close();
      return true;
    },
    operators: async () => {
      await Promise.all(operators.map((operator) => operator.flush()));
      return true;
    },
  };
  const areBack = async () => {
    for (const [who, check] of Object.entries(isBack)) {
      await eventually(
        async () => await Promise.resolve(check()).catch(() => false),
        `${who} is back`,
        CLUSTER_LIMIT_MS,
      );
    }
  };
  try {
    await using view = await frontend.room(ROOM);
    await using sender = new Sender(nc!);
    await sender.goesOn();
    await work({ sender, areBack });
    await sender[Symbol.asyncDispose]();
    const { acknowledged } = sender;
    await eventually(() => view.order(acknowledged.at(-1)!) !== undefined, "all arrive", CLUSTER_LIMIT_MS);
    const orders = acknowledged.map((id) => view.order(id));
    const first = orders[0]!;
    assert.equal(
      orders,
      acknowledged.map((_, i) => first + i),
    );
  } finally {
    await Promise.all([nc, ...operators].map((each) => each!.close()));
  }
}

const passwords = suite("passwords");

passwords("are changed while everything runs, and when one is refused its role is back once it is taken", async () => {
  using dir = temporaryDirectory();
  const files = new PasswordFiles(dir.path);
  await files.begin((role) => `first${role}Password`);
  await using cluster = await startNatsCluster({ conf: files.conf, passwords: (role) => files.taken(role) });
  const refusals = () => cluster.servers.flatMap(({ log }) => log.filter((line) => /authentication error/.test(line)));
  await whileWritten(cluster, files, async ({ sender, areBack }) => {
    for (const [before, after] of [
      ["first", "second"],
      ["second", "third"],
    ]) {
      for (const role of ROLES) await files.give(role, `${before}${role}Password`, `${after}${role}Password`);
      await files.take(Object.fromEntries(ROLES.map((role) => [role, `${after}${role}Password`])));
      await loadAgain(cluster);
      await sender.goesOn();
      await areBack();
      for (const role of ROLES) await files.give(role, `${after}${role}Password`);
    }
    await files.takeRoutes("secondRoutePassword", cluster.routes);
    await loadAgain(cluster);
    await sender.goesOn();
    const restarted = cluster.servers[0]!;
    restarted.kill("SIGKILL");
    await restarted.ended();
    await restarted.start();
    await cluster.ready();
    await sender.goesOn();

    const old = join(dir.path, "old");
    for (const role of ROLES) {
      await writeFile(old, `first${role}Password\nsecond${role}Password\n`);
      await rejects(connectBus({ url: urlOf(cluster, role), name: "old", passwordFile: old }), "BUS_UNAVAILABLE");
    }

    const before = refusals().length;
    await files.take(Object.fromEntries(ROLES.map((role) => [role, "anotherPassword"])));
    await loadAgain(cluster);
    await eventually(() => refusals().length >= before + 5 * ROLES.length, "all are refused again and again");
    await files.take(Object.fromEntries(ROLES.map((role) => [role, `third${role}Password`])));
    await loadAgain(cluster);
    await sender.goesOn();
    await areBack();
  });
});

passwords.run();
