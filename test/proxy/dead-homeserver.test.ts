/** A homeserver that is silent: its connections are not made, or nothing comes over them any more. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, Socket } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PROXY_KEEP_ALIVE_MS } from "../../src/limits.ts";
import { isUnreachable } from "../../src/proxy/upstream.ts";
import { eventually } from "../support/harness.ts";
import { listenBefore, startProxied } from "../support/scripted-homeserver.ts";

/** Connections that wait to be accepted. The system adds one. */
const BACKLOG = 1;
const LISTENS = `require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: ${BACKLOG} }, function () {
  console.log(this.address().port);
});`;

interface Paused extends AsyncDisposable {
  readonly port: number;
}

/** A port where no further connection is made: its process is paused, and as many wait for it as may. */
async function pausedPort(): Promise<Paused> {
  const child = spawn(process.execPath, ["-e", LISTENS], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  const port = Number(String(line));
  child.kill("SIGSTOP");
  const waiting = Array.from({ length: 4 * (BACKLOG + 1) }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await eventually(() => waiting.filter(({ connecting }) => !connecting).length > BACKLOG, "no more can wait");
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of waiting) socket.destroy();
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

const silence = suite("a silent homeserver");

silence("with which no connection can be made is answered for with 502", async () => {
  await using paused = await pausedPort();
  const failures: unknown[] = [];
  const proxy = await listenBefore(`http://127.0.0.1:${paused.port}`, (error) => failures.push(error));
  const answer = await fetch(`${proxy.url}/_matrix/client/v3/sync`);
  assert.is(answer.status, 502);
  assert.match(String(failures[0]), "no connection within 5000 ms");
  assert.ok(isUnreachable(failures[0]));
  await proxy.close();
});

silence("whose connections TCP finds dead is noticed: its connections are probed", async () => {
  const probed: unknown[][] = [];
  const { setKeepAlive } = Socket.prototype;
  Socket.prototype.setKeepAlive = function (...args) {
    probed.push(args);
    return setKeepAlive.apply(this, args);
  };
  try {
    await using homeserver = await startProxied((_, response) => void response.end("{}"));
    const { length } = probed;
    assert.is((await fetch(`${homeserver.url}/x`)).status, 200);
    assert.ok(probed.slice(length).some(([isOn, afterMs]) => isOn === true && afterMs === PROXY_KEEP_ALIVE_MS));
  } finally {
    Socket.prototype.setKeepAlive = setKeepAlive;
  }
});

silence("is unreachable when nobody listens, and not when it closes a connection", async () => {
  await using homeserver = await startProxied((request) => request.socket.destroy());
  assert.is((await fetch(`${homeserver.url}/x`, { method: "POST", body: "x" })).status, 502);
  assert.equal(homeserver.failures.map(isUnreachable), [false]);
  const { server } = homeserver;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  assert.is((await fetch(`${homeserver.url}/x`, { method: "POST", body: "x" })).status, 502);
  assert.equal(homeserver.failures.map(isUnreachable), [false, true]);
});

silence.run();
