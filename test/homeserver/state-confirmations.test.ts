/** State that other servers' events set, confirmed by the homeserver's own state. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LocalUsers } from "../../src/homeserver/local-users.ts";
import { type ConfirmationOutcome, StateConfirmations } from "../../src/homeserver/state-confirmations.ts";
import { UserClients } from "../../src/homeserver/user-clients.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { roomId, type ServerName } from "../../src/matrix/ids.ts";
import { type FakeHomeserver, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, OWN, startFederation } from "../support/federation.ts";
import { type Body, eventually } from "../support/harness.ts";

const TOKEN = "the-as-token";
const ALICE = "@alice:here.example";
const CAROL = "@carol:there.example";
const DAVE = "@dave:there.example";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

interface Confirming extends AsyncDisposable {
  readonly confirmations: StateConfirmations;
  readonly outcomes: ConfirmationOutcome[];
  push(events: readonly Body[]): Promise<void>;
}

function confirming({ nc, sent }: Tidemark, { url }: FakeHomeserver, room: string): Confirming {
  const outcomes: ConfirmationOutcome[] = [];
  const clients = new UserClients({ homeserver: url, asToken: TOKEN, perSecond: 1_000 });
  const confirmations = new StateConfirmations({
    nc,
    clients,
    users: new LocalUsers([OWN as ServerName]),
    onDone: (outcome) => outcomes.push(outcome),
    retryMs: 10,
  });
  return {
    confirmations,
    outcomes,
    push: async (events) => {
      await sent("event", room, events);
      confirmations.pushed(new Map([[roomId.parse(room), { events: events as MatrixEvent[], receipts: [] }]]));
    },
    [Symbol.asyncDispose]: async () => {
      clients.close();
      await confirmations.close();
    },
  };
}

const homeserverOf = async (room: string) => {
  const homeserver = await startHomeserver({ room, token: TOKEN, events: [] });
  homeserver.membership = "leave";
  homeserver.memberships = { [ALICE]: "join" };
  return homeserver;
};

/** The content of a state event that Tidemark knows. */
async function knownContent(tidemark: Tidemark, room: string, type: string, key: string): Promise<Body> {
  const { events } = await tidemark.query(room, { op: "state", types: [type] });
  return events.find(({ state_key: each }: Body) => each === key)?.content;
}

const stateEvent = (id: string, type: string, key: string, content: Body) => ({
  ...message(id, CAROL),
  type,
  state_key: key,
  content,
});

const KINDS: [type: string, key: string, contents: [Body, Body, Body], none: Body][] = [
  [
    "m.room.member",
    DAVE,
    [{ membership: "join" }, { membership: "ban" }, { membership: "leave", reason: "kicked" }],
    { membership: "leave" },
  ],
  ["m.room.server_acl", "", [{ allow: ["*"], deny: ["a"] }, { allow: [] }, { allow: ["b"] }], { allow: ["*"] }],
  [
    "m.room.history_visibility",
    "",
    [{ history_visibility: "joined" }, { history_visibility: "shared" }, { history_visibility: "invited" }],
    { history_visibility: "shared" },
  ],
];

const confirmed = suite("state of other servers");

confirmed("is as the homeserver's state, whatever was pushed", async () => {
  await using tidemark = await startFederation();
  let rooms = 0;
  for (const [type, key, [before, pushed, later], none] of KINDS) {
    for (const current of ["pushed", "before", "later", "none"] as const) {
      for (const givesEvents of [true, false]) {
        const room = `!${rooms++}:there.example`;
        await using homeserver = await homeserverOf(room);
        homeserver.givesEvents = givesEvents;
        await using confirmation = confirming(tidemark, homeserver, room);
        const events = {
          before: stateEvent("$before", type, key, before),
          pushed: stateEvent("$pushed", type, key, pushed),
          later: stateEvent("$later", type, key, later),
        };
        homeserver.state = current === "none" ? [] : [events[current]];
        await tidemark.sent("event", room, [member(ALICE), events.before]);
        await confirmation.push([events.pushed]);
        const what = `${type}: ${current}`;
        await eventually(() => confirmation.outcomes.length > 0, what);
        assert.equal(confirmation.outcomes, [current === "pushed" ? "confirmed" : "corrected"], what);
        const wanted = { before, pushed, later, none }[current];
        await eventually(
          async () => JSON.stringify(await knownContent(tidemark, room, type, key)) === JSON.stringify(wanted),
          what,
        );
        // What is newer still comes, and stands.
        await tidemark.sent("event", room, [events.later]);
        await eventually(
          async () => JSON.stringify(await knownContent(tidemark, room, type, key)) === JSON.stringify(later),
          `${what}, then a later one`,
        );
      }
    }
  }
});

confirmed("that a newer push has set while the homeserver was asked stands", async () => {
  await using tidemark = await startFederation();
  const room = "!race:there.example";
  await using homeserver = await homeserverOf(room);
  await using confirmation = confirming(tidemark, homeserver, room);
  const joined = { ...member(DAVE, "join", "$joined"), sender: DAVE };
  const banned = { ...member(DAVE, "ban", "$banned"), sender: ALICE };
  homeserver.state = [member(DAVE, "leave", "$left")];
  homeserver.onRequest = async (_, query) => {
    if (query.get("format") === "event") await tidemark.sent("event", room, banned);
    return undefined;
  };
  await tidemark.sent("event", room, member(ALICE));
  await confirmation.push([joined]);
  await eventually(() => confirmation.outcomes.length > 0, "it is read");
  const { members } = await tidemark.query(room, { op: "snapshot" });
  assert.is(members[DAVE], "ban");
});

confirmed("is asked for once for each key, and only what another server's events set", async () => {
  await using tidemark = await startFederation();
  const room = "!once:there.example";
  await using homeserver = await homeserverOf(room);
  await using confirmation = confirming(tidemark, homeserver, room);
  const of = (id: string, membership: string) => ({ ...member(DAVE, membership, id), sender: DAVE });
  homeserver.state = [of("$3", "leave")];
  await confirmation.push([
    member(ALICE),
    message("$message", CAROL),
    stateEvent("$name", "m.room.name", "", { name: "a" }),
    { ...stateEvent("$acl", "m.room.server_acl", "", { allow: ["*"] }), sender: ALICE },
    of("$1", "join"),
    of("$2", "leave"),
    of("$3", "leave"),
  ]);
  await eventually(() => confirmation.outcomes.length > 0, "it is confirmed");
  assert.equal(confirmation.outcomes, ["confirmed"]);
  assert.is(homeserver.requests.filter((path) => path.includes("format=event")).length, 1);
});

confirmed("is given up after some attempts, and when nobody can be asked, and the rest goes on", async () => {
  await using tidemark = await startFederation();
  const room = "!failing:there.example";
  await using homeserver = await homeserverOf(room);
  await using confirmation = confirming(tidemark, homeserver, room);
  let asked = 0;
  homeserver.onRequest = (path) =>
    path.includes("m.room.server_acl") && ++asked ? { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } } : undefined;
  const joined = { ...member(DAVE, "join", "$joined"), sender: DAVE };
  homeserver.state = [joined];
  await confirmation.push([member(ALICE), stateEvent("$acl", "m.room.server_acl", "", { allow: [] }), joined]);
  await eventually(() => confirmation.outcomes.length === 2, "both are done with");
  assert.equal(confirmation.outcomes, ["confirmed", "given_up"]);
  assert.is(asked, 5);
  homeserver.memberships = {};
  await confirmation.push([{ ...member(DAVE, "leave", "$left"), sender: DAVE }]);
  await eventually(() => confirmation.outcomes.length === 3, "it is done with");
  assert.is(confirmation.outcomes[2], "given_up");
});

confirmed.run();
