/**
 * A homeserver for the example: Tidemark's own gateway with `--standalone`, and a room with events of another server, whose clock is an hour slow.
 * Bob has read all of it on his phone, which knows nothing of threads.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pack, unpack } from "msgpackr";
import { connect } from "nats";

const HOUR_MS = 3_600_000;
const ROOM = "!harbour:here.example";
const ALICE = "@alice:here.example";
const BOB = "@bob:here.example";
const CARA = "@cara:slow-clock.example";
const TOKEN = "bobs-token";

export interface Homeserver extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
}

export async function startHomeserver(): Promise<Homeserver> {
  const dir = await mkdtemp(join(tmpdir(), "tidemark-example-"));
  const users = join(dir, "users.json");
  await writeFile(users, JSON.stringify({ [TOKEN]: { user_id: BOB, device_id: "WEB" } }));
  const command = ["--import", "tsx", "src/cli.ts", "start", "--standalone", "--users", users, "--log-level", "error"];
  const server = spawn(process.execPath, [...command, "--data", dir, "--http", "127.0.0.1:0"], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(server, "close");
  const stop = async () => {
    server.kill();
    await ended;
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for await (const line of createInterface({ input: server.stdout })) {
      const [, nats, url] = /^tidemark ready nats=(\S+) http=(\S+)/.exec(line) ?? [];
      if (nats === undefined || url === undefined) continue;
      await makeRoom(nats);
      await readOnPhone(url);
      return { url, token: TOKEN, [Symbol.asyncDispose]: stop };
    }
    throw new Error("Tidemark ended");
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Sends what a homeserver would: the events of the room, in the order in which they came. */
async function makeRoom(nats: string): Promise<void> {
  const now = Date.now();
  const event = (id: string, sender: string, more: object) => ({
    event_id: id,
    sender,
    origin_server_ts: now,
    ...more,
  });
  const state = (type: string, key: string, content: object, sender = ALICE) =>
    event(`$${type}${key}`, sender, { type, state_key: key, content });
  const message = (id: string, sender: string, body: string, more: object = {}) =>
    event(id, sender, { type: "m.room.message", content: { msgtype: "m.text", body, ...more } });
  const events = [
    state("m.room.create", "", { room_version: "11" }),
    ...[ALICE, BOB, CARA].map((user) => state("m.room.member", user, { membership: "join" }, user)),
    state("m.room.history_visibility", "", { history_visibility: "shared" }),
    state("m.room.name", "", { name: "Harbour" }),
    { ...message("$question", ALICE, "Do we sail tomorrow?"), origin_server_ts: now - 2 * HOUR_MS },
    message("$forecast", ALICE, "The forecast is good"),
    {
      ...message("$answer", CARA, "I am in", { "m.relates_to": { rel_type: "m.thread", event_id: "$question" } }),
      origin_server_ts: now - HOUR_MS,
    },
  ];
  const { host, username: user, password: pass } = new URL(nats);
  const nc = await connect({ servers: host, user, pass });
  const { data } = await nc.request("tidemark.in.event.!harbour:here%2Eexample", pack(events));
  await nc.close();
  const reply = unpack(data);
  if (!reply.ok) throw new Error(`${reply.errcode}: ${reply.error}`);
}

/** Reads the newest event, as a client without threads does. Resolves when Bob's clients are shown that. */
async function readOnPhone(url: string): Promise<void> {
  const ask = async (method: string, path: string) => {
    const response = await fetch(`${url}/_matrix/client/v3/${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}` },
      ...(method === "POST" && { body: "{}" }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
    return response.json();
  };
  await ask("POST", `rooms/${ROOM}/receipt/m.read/$answer`);
  let since = "";
  for (let isShown = false; !isShown; ) {
    const sync = await ask("GET", `sync?timeout=1000${since}`);
    since = `&since=${sync.next_batch}`;
    isShown = JSON.stringify(sync.rooms?.join?.[ROOM]?.ephemeral ?? {}).includes("$answer");
  }
}
