/** That `docs/gateway.md` says what is served and what isn't, and nothing else. */
import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, type Client, enc, startGateway } from "../support/gateway.ts";
import { sectionOf } from "../support/markdown.ts";

interface Room {
  readonly room: string;
  readonly event: string;
}

type Requests = (room: Room) => readonly string[];

const DATA = `/v3/user/${enc(BOB)}`;

/** Requests of each row, by a part of its first cell. */
const SERVED: Readonly<Record<string, Requests>> = {
  "POST /rooms/{room}/receipt/": ({ room, event }) => [
    `POST /v3/rooms/${room}/receipt/m.read/${event}`,
    `POST /v3/rooms/${room}/receipt/m.read.private/${event}`,
    `POST /v3/rooms/${room}/receipt/m.fully_read/${event}`,
  ],
  "/read_markers": ({ room }) => [`POST /v3/rooms/${room}/read_markers`],
  "GET /sync": () => ["GET /v3/sync", "GET /v3/sync?timeout=1&full_state=true&filter={}"],
  "/messages": ({ room, event }) => [
    `GET /v3/rooms/${room}/messages?dir=b`,
    `GET /v3/rooms/${room}/context/${event}`,
    `GET /v3/rooms/${room}/event/${event}`,
    `GET /v1/rooms/${room}/relations/${event}`,
    `GET /v1/rooms/${room}/relations/${event}/m.thread`,
    `GET /v1/rooms/${room}/relations/${event}/m.thread/m.room.message`,
    `GET /v1/rooms/${room}/threads`,
  ],
  "/joined_members": ({ room }) => [
    `GET /v3/rooms/${room}/state`,
    `GET /v3/rooms/${room}/state/m.room.create`,
    `GET /v3/rooms/${room}/state/m.room.member/${enc(BOB)}`,
    `GET /v3/rooms/${room}/members`,
    `GET /v3/rooms/${room}/joined_members`,
    `GET /v3/profile/${enc(ALICE)}`,
    `GET /v3/profile/${enc(ALICE)}/displayname`,
    `GET /v3/profile/${enc(ALICE)}/avatar_url`,
  ],
  "GET /versions": () => [
    "GET /versions",
    "GET /v3/capabilities",
    "GET /v3/account/whoami",
    "GET /v3/joined_rooms",
    `POST ${DATA}/filter`,
    `GET ${DATA}/filter/q1YqUbKqBQA`,
  ],
  "GET /devices": () => ["GET /v3/devices", "GET /v3/devices/B1"],
  "POST /login": () => ["GET /v3/login", "POST /v3/login", "POST /v3/logout", "POST /v3/logout/all"],
  "/pushrules/": () => [
    "GET /v3/pushrules/",
    "GET /v3/pushrules/global/",
    "GET /v3/pushrules/global/override/.m.rule.master",
    "GET /v3/pushrules/global/override/.m.rule.master/enabled",
    "GET /v3/pushrules/global/override/.m.rule.master/actions",
  ],
  "keys/upload": () => [
    "POST /v3/keys/upload",
    "POST /v3/keys/query",
    "POST /v3/keys/claim",
    "GET /v3/keys/changes",
    "GET /v3/room_keys/version",
    "PUT /v3/sendToDevice/m.x/1",
  ],
  "PUT typing": ({ room }) => [`PUT /v3/rooms/${room}/typing/${enc(BOB)}`, `PUT /v3/presence/${enc(BOB)}/status`],
  account_data: ({ room }) => [
    `GET ${DATA}/account_data/m.direct`,
    `PUT ${DATA}/account_data/m.direct`,
    `GET ${DATA}/rooms/${room}/account_data/m.x`,
    `PUT ${DATA}/rooms/${room}/account_data/m.x`,
    `GET ${DATA}/rooms/${room}/tags`,
    `PUT ${DATA}/rooms/${room}/tags/m.favourite`,
  ],
  "/voip/turnServer": () => [
    `GET /v3/presence/${enc(ALICE)}/status`,
    "GET /v3/voip/turnServer",
    "GET /v3/thirdparty/protocols",
    "GET /v1/media/config",
  ],
  createRoom: ({ room, event }) => [
    "POST /v3/createRoom",
    `POST /v3/join/${room}`,
    `POST /v3/rooms/${room}/join`,
    `PUT /v3/rooms/${room}/send/m.room.message/1`,
    `PUT /v3/rooms/${room}/state/m.room.topic`,
    `PUT /v3/rooms/${room}/state/m.room.topic/key`,
    `PUT /v3/rooms/${room}/redact/${event}/1`,
    `POST /v3/rooms/${room}/invite`,
    `POST /v3/rooms/${room}/leave`,
  ],
};

/** Requests for each thing that the page says is not served. */
const NOT_SERVED: Readonly<Record<string, Requests>> = {
  media: () => ["POST /v1/media/upload", "GET /v1/media/download/a.org/x"],
  search: () => ["POST /v3/search", "POST /v3/user_directory/search"],
  "keys of encryption": () => ["POST /v3/keys/device_signing/upload", "GET /v3/room_keys/keys"],
  registration: () => ["POST /v3/register", "GET /v3/register/available"],
  "names of devices": () => ["PUT /v3/devices/B1", "DELETE /v3/devices/B1"],
  "changes of profiles": () => [`PUT /v3/profile/${enc(BOB)}/displayname`],
  "push rules": () => ["PUT /v3/pushrules/global/override/.m.rule.master/enabled", "GET /v3/pushers"],
  aliases: ({ room }) => [`GET /v3/directory/room/${enc("#a:a.org")}`, `GET /v3/rooms/${room}/aliases`],
  "room directory": () => ["GET /v3/publicRooms", "POST /v3/publicRooms"],
  peeking: ({ room }) => [`GET /v3/rooms/${room}/initialSync`],
  knocking: ({ room }) => [`POST /v3/knock/${room}`],
  "kicks and bans": ({ room }) => ["kick", "ban", "unban"].map((act) => `POST /v3/rooms/${room}/${act}`),
  "forgetting a room": ({ room }) => [`POST /v3/rooms/${room}/forget`],
  spaces: ({ room }) => [`GET /v1/rooms/${room}/hierarchy`],
  "sliding sync": () => ["POST /unstable/org.matrix.simplified_msc3575/sync"],
  administration: () => [`GET /v3/admin/whois/${enc(ALICE)}`],
  calls: () => ["GET /unstable/org.matrix.msc4143/rtc/transports"],
};

async function ask(client: Client, request: string) {
  const [method, path] = request.split(" ") as [string, string];
  return client.ask(method, path, method === "GET" ? undefined : {});
}

const section = async () => sectionOf(await readFile("docs/gateway.md", "utf8"), "What is served");

const served = suite("what is served");

served("is each row of the page, and there are no others", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const id = await tidemark.room(alice, bob);
  const at = { room: enc(id), event: enc(await alice.say(id, "hello")) };
  const cells = (await section()).split("\n").flatMap((line) => /^\| ([^ |-].*?) +\|/.exec(line)?.[1] ?? []);
  assert.is(cells.length, Object.keys(SERVED).length + 1, cells.join("\n"));
  for (const cell of cells) {
    if (cell.includes(".well-known")) continue;
    const rows = Object.keys(SERVED).filter((part) => cell.replaceAll("`", "").includes(part));
    assert.is(rows.length, 1, `${cell}: ${rows}`);
    for (const request of SERVED[rows[0]!]!(at)) {
      const { status, text } = await ask(bob, request);
      assert.not.match(text, "M_UNRECOGNIZED", request);
      assert.ok(status < 500, `${request}: ${status} ${text}`);
      const old = await ask(bob, request.replace(" /v3/", " /r0/"));
      assert.not.match(old.text, "M_UNRECOGNIZED", `r0 is the same: ${request}`);
    }
  }
  assert.is((await fetch(`${tidemark.url}/.well-known/matrix/client`)).status, 200);
});

served("isn't what the page says that it isn't", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const id = await tidemark.room(alice, bob);
  const at = { room: enc(id), event: enc(await alice.say(id, "hello")) };
  const [, list] = /M_UNRECOGNIZED`: ([^.]*)\./.exec((await section()).replaceAll("\n", " "))!;
  for (const [name, requests] of Object.entries(NOT_SERVED)) {
    assert.ok(list!.includes(name), `${name} in: ${list}`);
    for (const request of requests(at)) {
      const { status, body } = await ask(bob, request);
      assert.equal([status, body.errcode], [404, "M_UNRECOGNIZED"], request);
    }
  }
});

served.run();
