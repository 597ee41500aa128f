import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parseSourcesList, parseSourcesStanzas, pickMirror } from "../../../src/bus/broker/debian-archive.ts";
import { brokerCacheDir, findBroker } from "../../../src/bus/broker/find.ts";
import { ensureBroker } from "../../../src/bus/broker/install.ts";
import { startBroker } from "../../../src/bus/broker/process.ts";
import { failure } from "../../support/failure.ts";

async function tempDir() {
  const path = await mkdtemp(join(tmpdir(), "tidemark-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** An executable that reports this version of nats-server. */
async function plantBroker(folder: string, version: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, "nats-server");
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

async function client(url: string) {
  const connection = await connect({ servers: url });
  return { connection, [Symbol.asyncDispose]: () => connection.close() };
}

async function appendThree(url: string): Promise<void> {
  await using to = await client(url);
  const manager = await to.connection.jetstreamManager();
  await manager.streams.add({ name: "KEPT", subjects: ["kept"] });
  for (let i = 0; i < 3; i++) await to.connection.jetstream().publish("kept", "payload");
}

async function countKept(url: string): Promise<number> {
  await using to = await client(url);
  const manager = await to.connection.jetstreamManager();
  return (await manager.streams.info("KEPT")).state.messages;
}

const broker = suite("broker");

broker("accepts clients, with JetStream, on a free loopback port", async () => {
  await using store = await tempDir();
  await using server = await startBroker({ storeDir: store.path });
  assert.match(server.url, /^nats:\/\/127\.0\.0\.1:[1-9]\d*$/);
  await appendThree(server.url);
  assert.is(await countKept(server.url), 3);
});

broker("creates its store directory", async () => {
  await using store = await tempDir();
  await using server = await startBroker({ storeDir: join(store.path, "not", "there yet") });
  await appendThree(server.url);
});

broker("passes its log lines to its owner", async () => {
  await using store = await tempDir();
  const lines: string[] = [];
  await using server = await startBroker({ storeDir: store.path, log: (line) => lines.push(line) });
  await server.stop();
  assert.ok(lines.some((line) => line.includes("Server is ready")));
  assert.ok(lines.some((line) => line.includes("Server Exiting")));
});

broker("runs next to another one", async () => {
  await using storeA = await tempDir();
  await using storeB = await tempDir();
  await using a = await startBroker({ storeDir: storeA.path });
  await using b = await startBroker({ storeDir: storeB.path });
  assert.is.not(a.url, b.url);
  await appendThree(a.url);
  assert.match(await failure(countKept(b.url)), "stream not found");
});

broker("keeps the messages of a stream over a restart on the same port", async () => {
  await using store = await tempDir();
  await using first = await startBroker({ storeDir: store.path });
  await appendThree(first.url);
  await first.stop();
  await using second = await startBroker({ storeDir: store.path, port: Number(new URL(first.url).port) });
  assert.is(second.url, first.url);
  assert.is(await countKept(second.url), 3);
});

broker("keeps the messages of a stream over a SIGKILL", async () => {
  await using store = await tempDir();
  await using first = await startBroker({ storeDir: store.path });
  await appendThree(first.url);
  first.kill("SIGKILL");
  assert.is(await first.exited, null);
  await using second = await startBroker({ storeDir: store.path, port: Number(new URL(first.url).port) });
  assert.is(await countKept(second.url), 3);
});

broker("has ended when stop resolves, and can be stopped twice", async () => {
  await using store = await tempDir();
  await using server = await startBroker({ storeDir: store.path });
  await Promise.all([server.stop(), server.stop()]);
  assert.throws(() => process.kill(server.pid, 0), /ESRCH/);
  await server.exited;
  await server.stop();
});

broker("stops even when it is paused", async () => {
  await using store = await tempDir();
  await using server = await startBroker({ storeDir: store.path });
  server.kill("SIGSTOP");
  await server.stop();
  assert.throws(() => process.kill(server.pid, 0), /ESRCH/);
});

broker("has its own process group, so Ctrl-C does not reach it", async () => {
  await using store = await tempDir();
  await using server = await startBroker({ storeDir: store.path });
  assert.ok(process.kill(-server.pid, 0));
});

broker("ends if its parent is killed", async () => {
  await using store = await tempDir();
  const source = `
    import { startBroker } from ${JSON.stringify(import.meta.resolve("../../../src/bus/broker/process.ts"))};
    const server = await startBroker({ storeDir: ${JSON.stringify(store.path)} });
    process.stdout.write(server.url);`;
  const parent = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = await once(parent.stdout, "data");
  const socket = connectTcp(Number(new URL(String(url)).port), "127.0.0.1").resume();
  await once(socket, "data");
  const closed = once(socket, "close");
  parent.kill("SIGKILL");
  await closed;
  // Its store can be used again.
  await using _server = await startBroker({ storeDir: store.path });
});

broker("refuses a port in use, with the message of the server", async () => {
  await using storeA = await tempDir();
  await using storeB = await tempDir();
  await using a = await startBroker({ storeDir: storeA.path });
  const second = startBroker({ storeDir: storeB.path, port: Number(new URL(a.url).port) });
  assert.match(await failure(second), /ended with exit code 1.*address already in use/s);
});

broker("refuses a store in use", async () => {
  await using store = await tempDir();
  await using first = await startBroker({ storeDir: store.path });
  assert.match(await failure(startBroker({ storeDir: store.path })), `the broker at ${first.url} already uses`);
});

broker.run();

const find = suite("find");

find("prefers the executable in the environment to all others", async () => {
  await using dir = await tempDir();
  const path = await plantBroker(join(dir.path, "named"), "2.9.10");
  await plantBroker(join(dir.path, "bin"), "2.11.0");
  const env = { TIDEMARK_NATS_SERVER: path, PATH: join(dir.path, "bin") };
  assert.equal(await findBroker(env), { path, version: "2.9.10" });
});

find("refuses a path in the environment that is not executable, a folder, or another program", async () => {
  await using dir = await tempDir();
  for (const name of [join(dir.path, "missing"), dir.path, process.execPath]) {
    const env = { TIDEMARK_NATS_SERVER: name, PATH: process.env.PATH };
    const expected = `TIDEMARK_NATS_SERVER is "${name}", which is not an executable nats-server`;
    assert.is(await failure(findBroker(env)), expected);
    assert.is(await failure(ensureBroker({ env })), expected);
  }
});

find("refuses one that is too old, comparing versions as numbers", async () => {
  await using dir = await tempDir();
  const path = await plantBroker(dir.path, "2.8.10");
  assert.match(await failure(findBroker({ TIDEMARK_NATS_SERVER: path })), "version 2.8.10: at least 2.9.0 is needed");
});

find("uses the first one on the path that is recent enough", async () => {
  await using dir = await tempDir();
  const versions = ["1.4.0", "2.9.10", "2.10.27", "2.11.0"];
  const paths = await Promise.all(versions.map((version) => plantBroker(join(dir.path, version), version)));
  const env = { HOME: dir.path, PATH: versions.map((version) => join(dir.path, version)).join(":") };
  assert.equal(await findBroker(env), { path: paths[2], version: "2.10.27" });
});

find("prefers a recent one in the cache to an older one on the path", async () => {
  await using dir = await tempDir();
  const env = { XDG_CACHE_HOME: join(dir.path, "cache"), PATH: join(dir.path, "bin") };
  const cache = brokerCacheDir(env);
  await plantBroker(join(dir.path, "bin"), "2.9.10");
  await plantBroker(join(cache, "2.10.27"), "2.10.27");
  await plantBroker(join(cache, ".staged-2.12.0"), "2.12.0");
  const found = await findBroker(env);
  // The machine may have a recent one in a usual folder, which has priority over the cache.
  assert.is.not(found?.version, "2.9.10");
  assert.is.not(found?.version, "2.12.0");
});

find.run();

const aptSources = suite("apt sources");

const debianList = `
# deb http://commented.example/debian bookworm main
deb-src http://mirror.example/source bookworm main
deb [arch=amd64] https://vendor.example/apt bookworm stable
deb [ arch=amd64 signed-by=/usr/share/keyrings/archive.gpg ] http://mirror.example/debian/ bookworm main contrib # ours
deb http://mirror.example/debian-security bookworm-security main
`;

const debianStanzas = `# A comment.
Types: deb deb-src
URIs: http://mirror.example/debian
# A comment inside.
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://vendor.example/apt
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGCRt7MBEADkYJMHQQoL6tKrW/LbmfR9ljz7ib2aWno4JO3VKQvLwjyUMPpq
`;

aptSources("in the one-line format yield the distribution's mirror and its keyring", () => {
  assert.equal(pickMirror(parseSourcesList(debianList), "bookworm", { component: "main" }), {
    uris: ["http://mirror.example/debian/"],
    suites: ["bookworm"],
    components: ["main", "contrib"],
    keyring: "/usr/share/keyrings/archive.gpg",
  });
});

aptSources("in the deb822 format yield the distribution's mirror and its keyring", () => {
  assert.equal(pickMirror(parseSourcesStanzas(debianStanzas), "bookworm", { component: "main" }), {
    uris: ["http://mirror.example/debian"],
    suites: ["bookworm", "bookworm-updates"],
    components: ["main"],
    keyring: "/usr/share/keyrings/archive.gpg",
  });
});

aptSources("with an embedded key have no keyring", () => {
  const vendor = parseSourcesStanzas(debianStanzas).find(({ uris }) => uris[0]?.includes("vendor"));
  assert.ok(vendor);
  assert.is(vendor.keyring, undefined);
});

aptSources("that do not have the release still yield an archive of the distribution", () => {
  const sid = parseSourcesList("deb http://mirror.example/debian sid main\n");
  assert.is(pickMirror(sid, "forky", { component: "main" })?.uris[0], "http://mirror.example/debian");
});

aptSources("of vendors only yield no mirror", () => {
  assert.is(
    pickMirror(parseSourcesList("deb https://vendor.example/apt any stable\n"), "bookworm", { component: "main" }),
    undefined,
  );
});

aptSources.run();
