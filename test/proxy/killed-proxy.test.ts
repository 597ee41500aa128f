/** Proxies that are killed while clients wait and read: a `since` is the homeserver's, so nothing is lost, and nothing comes twice. */
import { createServer, type ServerResponse } from "node:http";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import { type Body, eventually, message } from "../support/harness.ts";
import { freePort, listening } from "../support/scripted-homeserver.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = "!room:a.org";
const KILLS = 2;
const CLIENTS = 4;

interface Sent {
  readonly n: number;
}

/**
 * A homeserver of one room, where each client has to-device messages of its own: it forgets those before the `since` of a request, and
 * lets a request wait until there is something new.
 */
async function homeserver() {
  let events = 0;
  const messages = Array.from({ length: CLIENTS }, (): Sent[] => []);
  const waiting = new Set<() => void>();
  const server = await listening(
    createServer((request, response: ServerResponse) => {
      const { searchParams: query } = new URL(request.url ?? "", "http://a");
      const [since = 0, client = 0] = [Number(query.get("since") ?? 0), Number(query.get("client"))];
      const answer = () => {
        const mine = messages[client]!.filter(({ n }) => n > since);
        if (mine.length === 0 && events <= since) {
          waiting.add(answer);
          return;
        }
        const timeline = Array.from({ length: events - since }, (_, i) => message(`$${since + i + 1}`));
        const body = {
          next_batch: `${events}`,
          to_device: { events: mine.map(({ n }) => ({ type: "m.test", sender: "@a:a.org", content: { n } })) },
          rooms: { join: { [ROOM]: { timeline: { events: timeline } } } },
        };
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
      };
      messages[client] = messages[client]!.filter(({ n }) => n > since);
      response.once("close", () => waiting.delete(answer));
      answer();
    }),
  );
  return {
    ...server,
    /** One event for all, and a message for each. */
    send: () => {
      events++;
      for (const each of messages) each.push({ n: events });
      for (const answer of [...waiting]) {
        waiting.delete(answer);
        answer();
      }
    },
    get waiting() {
      return waiting.size;
    },
  };
}

/** Reads until it has everything up to the last event, by whichever proxy there is. */
async function readAll(
  client: number,
  port: number,
  until: () => number,
): Promise<{ events: string[]; messages: number[] }> {
  const found = { events: [] as string[], messages: [] as number[] };
  for (let since = "0"; Number(since) < until(); ) {
    const path = `/_matrix/client/v3/sync?since=${since}&client=${client}&timeout=30000`;
    const body: Body = await fetch(`http://127.0.0.1:${port}${path}`)
      .then((response) => response.json())
      .catch(() => undefined);
    if (body?.next_batch === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      continue;
    }
    since = body.next_batch;
    for (const { event_id: id } of body.rooms.join[ROOM].timeline.events) found.events.push(id);
    for (const { content } of body.to_device.events) found.messages.push(content.n);
  }
  return found;
}

const killed = suite("a killed proxy");

killed("loses no event and no to-device message of those who wait, and repeats none", async () => {
  using dir = temporaryDirectory();
  await using upstream = await homeserver();
  const [port, noBroker] = [await freePort(), await freePort()];
  const begin = async (): Promise<CliProcess> => {
    // Without a broker, answers pass without orders, and are read and written as a whole all the same.
    const args = ["--roles", "proxy", "--nats", `nats://127.0.0.1:${noBroker}`, "--data", dir.path];
    const proxy = runCli(["start", "--http", `127.0.0.1:${port}`, "--homeserver", upstream.url, ...args]);
    const isUp = () =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await eventually(isUp, "the proxy is up");
    return proxy;
  };
  let last = Number.POSITIVE_INFINITY;
  let proxy = await begin();
  const clients = Array.from({ length: CLIENTS }, (_, client) => readAll(client, port, () => last));
  let sent = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    await eventually(() => upstream.waiting === CLIENTS, "all wait");
    upstream.send();
    sent++;
    if (kill % 2 === 1) await eventually(() => upstream.waiting === CLIENTS, "all wait again");
    proxy.kill("SIGKILL");
    await proxy.ended;
    upstream.send();
    sent++;
    proxy = await begin();
  }
  await eventually(() => upstream.waiting === CLIENTS, "all wait");
  last = ++sent;
  upstream.send();
  const numbers = Array.from({ length: sent }, (_, i) => i + 1);
  for (const found of await Promise.all(clients)) {
    assert.equal(found.messages, numbers);
    assert.equal(
      found.events,
      numbers.map((n) => `$${n}`),
    );
  }
  await proxy[Symbol.asyncDispose]();
});

killed.run();
