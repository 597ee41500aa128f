/** Connections to the broker never end by themselves (E6). */
import { writeFile } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Bus, connectBus } from "../../../src/bus/client/connection.ts";
import { subscribe } from "../../../src/bus/client/subscribe.ts";
import { type ConfiguredBroker, freePort, startConfigured } from "../../support/configured-broker.ts";
import { eventually, LIMIT_MS, rejects } from "../../support/harness.ts";
import { startNameServer } from "../../support/name-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const conf = (password: string, more = "") =>
  `authorization { users: [{ user: role, password: "${password}"${more} }] }`;

/** How often a client may be refused before the library would give up: it does at the second time. */
const REFUSALS = 6;

const refusals = ({ log }: ConfiguredBroker) => log.filter((line) => line.includes("authentication error")).length;

async function connected(url: string, more: { readonly passwordFile?: string } = {}) {
  const nc = await connectBus({ url, name: "test", ...more });
  return { nc, [Symbol.asyncDispose]: () => nc.close() };
}

/** Resolves once the connection carries messages. */
async function carries(nc: Bus): Promise<void> {
  const isCarried = async () => {
    const echo = nc.subscribe("echo", { max: 1, callback: (_, message) => message.respond(message.data) });
    try {
      return (await nc.request("echo", "x", { timeout: 1_000 })).string() === "x";
    } catch {
      return false;
    } finally {
      echo.unsubscribe();
    }
  };
  await eventually(isCarried, "the connection carries messages");
}

const connection = suite("connection");

connection("a password that is refused, twice and for a while, ends no connection", async () => {
  using dir = temporaryDirectory();
  await using broker = await startConfigured({ dir: dir.path, conf: conf("right") });
  await using role = await connected(`nats://role:right@127.0.0.1:${broker.port}`);
  for (let time = 1; time <= 2; time++) {
    await broker.reload(conf("other"));
    await eventually(() => refusals(broker) >= time * REFUSALS, "the password is refused again and again");
    await broker.reload(conf("right"));
    await carries(role.nc);
  }
});

connection("a password can be changed while the file of passwords has both", async () => {
  using dir = temporaryDirectory();
  const passwordFile = join(dir.path, "passwords");
  await writeFile(passwordFile, "first\n");
  await using broker = await startConfigured({ dir: dir.path, conf: conf("first") });
  await using role = await connected(`nats://role@127.0.0.1:${broker.port}`, { passwordFile });
  for (const [before, after] of [
    ["first", "second"],
    ["second", "third"],
  ]) {
    await writeFile(passwordFile, `${before}\n${after}\n`);
    await broker.reload(conf(after!));
    await carries(role.nc);
    await using _new = await connected(`nats://role@127.0.0.1:${broker.port}`, { passwordFile });
    await writeFile(passwordFile, `${after}\n`);
  }
});

connection("a file of passwords that is missing for a moment is read again", async () => {
  using dir = temporaryDirectory();
  const passwordFile = join(dir.path, "passwords");
  await writeFile(passwordFile, "first");
  await using broker = await startConfigured({ dir: dir.path, conf: conf("first") });
  await using role = await connected(`nats://role@127.0.0.1:${broker.port}`, { passwordFile });
  await writeFile(passwordFile, "");
  await broker.reload(conf("second"));
  await eventually(() => refusals(broker) >= REFUSALS, "the password is refused again and again");
  await writeFile(passwordFile, "second");
  await carries(role.nc);
});

connection("a file without a password is named, and so is a URL without a user", async () => {
  using dir = temporaryDirectory();
  const passwordFile = join(dir.path, "passwords");
  const connecting = (url: string) => connectBus({ url, name: "test", passwordFile });
  const failure = async (url: string, code: string) => (await rejects(connecting(url), code)).message;
  assert.match(await failure("nats://role@127.0.0.1:1", "BUS_UNAVAILABLE"), "no password for the broker: ENOENT");
  await writeFile(passwordFile, "\n \n");
  assert.match(await failure("nats://role@127.0.0.1:1", "BUS_UNAVAILABLE"), `${passwordFile} has no password`);
  assert.match(await failure("nats://127.0.0.1:1", "BUS_MISMATCH"), "needs a user");
});

connection("a server that could not be reached at first takes over later", async () => {
  using dir = temporaryDirectory();
  const options = { dir: dir.path, conf: conf("right") };
  const late = await freePort();
  await using role = await (async () => {
    await using early = await startConfigured(options);
    const role = await connected(`nats://role:right@127.0.0.1:${late},nats://127.0.0.1:${early.port}`);
    await carries(role.nc);
    return role;
  })();
  await using _late = await startConfigured({ ...options, port: late });
  await carries(role.nc);
});

connection("another server under the same name and another address is found", async () => {
  using dir = temporaryDirectory();
  await using broker = await startConfigured({ dir: dir.path, conf: conf("right") });
  await using names = await startNameServer("127.0.0.1");
  await using role = await connected(`nats://role:right@broker.test:${broker.port}`);
  await carries(role.nc);
  // Only the new address leads there from now on; connections that are there stay.
  const other = createServer((client) => {
    const target = connectSocket(broker.port, "127.0.0.1");
    client.pipe(target).pipe(client);
    for (const [socket, end] of [
      [client, target],
      [target, client],
    ] as const) {
      socket.on("error", () => {}).on("close", () => end.destroy());
    }
  });
  let connections = 0;
  other.on("connection", () => connections++);
  await new Promise<void>((resolve) => other.listen(broker.port, "127.0.0.2", resolve));
  names.address = "127.0.0.2";
  await role.nc.reconnect();
  await eventually(() => connections > 0, "the new address is used");
  await carries(role.nc);
  other.close();
});

connection("a subscription that is refused while the configuration is wrong is made again", async () => {
  using dir = temporaryDirectory();
  const wrong = conf("right", ', permissions { subscribe: { deny: "asked" } }');
  await using broker = await startConfigured({ dir: dir.path, conf: conf("right") });
  await using role = await connected(`nats://role:right@127.0.0.1:${broker.port}`);
  let received = 0;
  const subscription = subscribe(role.nc, "asked", { onMessage: () => received++ });
  const isReceived = async () => {
    const before = received;
    role.nc.publish("asked");
    await role.nc.flush();
    return received > before;
  };
  await eventually(isReceived, "it receives");
  await broker.reload(wrong);
  const refused = () => broker.log.filter((line) => line.includes("Subscription Violation")).length;
  await eventually(() => refused() > 0, "it is refused");
  assert.is(await isReceived(), false);
  await broker.reload(conf("right"));
  await eventually(isReceived, "it receives again", LIMIT_MS);
  await subscription.drain();
  assert.is(await isReceived(), false);
});

connection.run();
