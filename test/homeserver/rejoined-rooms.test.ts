/** The state of rooms to which local users have come back, after a time when none of them was there. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LocalUsers } from "../../src/homeserver/local-users.ts";
import { RejoinedRooms } from "../../src/homeserver/rejoined-rooms.ts";
import { UserClients } from "../../src/homeserver/user-clients.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { roomId, type ServerName } from "../../src/matrix/ids.ts";
import { type FakeHomeserver, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, OWN, startFederation } from "../support/federation.ts";
import { type Body, eventually } from "../support/harness.ts";

const TOKEN = "the-as-token";
const ROOM = "!room:there.example";
const ALICE = "@alice:here.example";
const BOB = "@bob:here.example";
const CAROL = "@carol:there.example";
const DAVE = "@dave:there.example";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

interface Watching extends AsyncDisposable {
  /** Lines of the log. */
  readonly logged: Body[];
  push(events: readonly Body[]): Promise<void>;
}

function watching({ nc, sent }: Tidemark, { url }: FakeHomeserver): Watching {
  const logged: Body[] = [];
  const clients = new UserClients({ homeserver: url, asToken: TOKEN, perSecond: 1_000 });
  const rejoined = new RejoinedRooms({
    nc,
    clients,
    users: new LocalUsers([OWN as ServerName]),
    log: pino({ level: "info" }, { write: (line: string) => void logged.push(JSON.parse(line)) }),
    retryMs: 10,
  });
  return {
    logged,
    push: async (events) => {
      await sent("event", ROOM, events);
      rejoined.pushed(new Map([[roomId.parse(ROOM), { events: events as MatrixEvent[], receipts: [] }]]));
    },
    [Symbol.asyncDispose]: async () => {
      clients.close();
      await rejoined.close();
    },
  };
}

const topic = (id: string, text: string) => ({
  ...message(id, CAROL),
  type: "m.room.topic",
  state_key: "",
  content: { topic: text },
});
const CREATE = { ...message("$create", CAROL), type: "m.room.create", state_key: "", content: {} };
const BEFORE = [CREATE, member(CAROL), topic("$old", "old"), member(ALICE, "join", "$first")];
const GONE = [...BEFORE, member(ALICE, "leave", "$gone")];
const BACK = member(ALICE, "join", "$back");
const NOW = [CREATE, topic("$new", "new"), member(CAROL, "leave", "$left"), member(DAVE), BACK];

const stateReads = ({ requests }: FakeHomeserver) => requests.filter((path) => /\/state\?/.test(path)).length;

async function knownState(tidemark: Tidemark): Promise<string[]> {
  const { events } = await tidemark.query(ROOM, { op: "state" });
  return events.map(({ event_id: id }: Body) => id).sort();
}

const rejoined = suite("a room to which local users come back");

rejoined("has the state of the homeserver again, and what is pushed later stands", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: [], state: NOW });
  await using room = watching(tidemark, homeserver);
  const later = topic("$later", "later");
  homeserver.onRequest = async (path) => {
    if (path.endsWith("/state")) await tidemark.sent("event", ROOM, later);
    return undefined;
  };
  await tidemark.sent("event", ROOM, GONE);
  await room.push([BACK]);
  await eventually(() => room.logged.length === 1, "it is read again");
  assert.is(room.logged[0].changed, 3);
  const wanted = ["$back", "$create", "$join-@dave:there.example", "$later", "$left"];
  await eventually(async () => String(await knownState(tidemark)) === String(wanted), "the state is the homeserver's");
  const { members } = await tidemark.query(ROOM, { op: "snapshot" });
  assert.equal(members, { [ALICE]: "join", [CAROL]: "leave", [DAVE]: "join" });
});

rejoined("is tried again when the homeserver fails, a few times", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: [], state: NOW });
  await using room = watching(tidemark, homeserver);
  let failures = 0;
  homeserver.onRequest = (path) =>
    path.endsWith("/state") && ++failures < 3 ? { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } } : undefined;
  await tidemark.sent("event", ROOM, GONE);
  await room.push([BACK]);
  await eventually(() => room.logged.length === 1, "it is read again");
  assert.is(room.logged[0].changed, 3);
});

rejoined("is read again only if nobody had stayed, and somebody had been there", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: [], state: NOW });
  await using room = watching(tidemark, homeserver);
  await room.push([...BEFORE, member(ALICE, "join", "$first")]);
  await room.push([member(ALICE, "join", "$newName")]);
  await room.push([member(BOB), member(ALICE, "leave", "$gone")]);
  await room.push([member(ALICE, "join", "$again")]);
  await room.push([member(ALICE, "leave", "$goneAgain"), member(BOB, "leave")]);
  await room.push([message("$remote", CAROL), member(DAVE)]);
  assert.is(stateReads(homeserver), 0);
  await room.push([BACK]);
  await eventually(() => room.logged.length === 1, "it is read again");
  assert.is(stateReads(homeserver), 1);
});

rejoined("is left alone when whoever came back is gone again", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: [], state: NOW });
  await using room = watching(tidemark, homeserver);
  homeserver.membership = "leave";
  await tidemark.sent("event", ROOM, GONE);
  await room.push([BACK]);
  await eventually(() => homeserver.requests.length > 0, "it is asked whether she is joined");
  await room[Symbol.asyncDispose]();
  assert.is(stateReads(homeserver), 0);
});

rejoined.run();
