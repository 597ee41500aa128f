/** A room view with a user: it has what that user may see (docs/design.md#who-sees-what), and goes on as the user comes and goes. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, LIVE, STATE } from "../../actors/entry.ts";
import { connect, type RoomChange, type RoomView } from "../../src/frontend/index.ts";
import { eventually, message, BASE as ORDERS_BASE, receipt, startTidemark } from "../support/harness.ts";
import { checkAsync } from "../support/property.ts";
import { VisibilityModel } from "../support/visibility-model.ts";
import { VISITED_USERS, visits } from "../support/visits.ts";

const ROOM = "!room:a.org";
const ALICE = "@alice:a.org";
const BOB = "@bob:a.org";

const member = (id: string, membership: string, user = BOB) =>
  message(id, { type: "m.room.member", state_key: user, sender: user, content: { membership } });
const visibility = (id: string, history_visibility: string) =>
  message(id, { type: "m.room.history_visibility", state_key: "", content: { history_visibility } });

const shows = (view: RoomView, what: () => unknown) => eventually(what, `${view.room} shows it`);
const has = (view: RoomView, id: string) => view.order(id) !== undefined;

const viewer = suite("a view with a user");

viewer("has nothing of a room before the user joins, and nothing that comes after the user left", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [visibility("$v", "joined"), member("$a", "join", ALICE), message("$before")]);
  await tidemark.sent("receipt", ROOM, receipt(ALICE, "$before"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM, { userId: BOB });
  await using all = await frontend.room(ROOM);
  await shows(all, () => has(all, "$before") && all.isRead("$before", ALICE));
  assert.equal([view.size, [...view.markers], [...view.members]], [0, [], []]);

  const changes: RoomChange[] = [];
  view.subscribe((change) => changes.push(change));
  await tidemark.sent("event", ROOM, [message("$more"), member("$invite", "invite")]);
  await shows(view, () => changes.length > 0);
  assert.equal(changes, [{ kind: "members", members: { [BOB]: "invite" } }]);

  await tidemark.sent("event", ROOM, [member("$join", "join"), message("$seen")]);
  await shows(view, () => has(view, "$seen"));
  assert.equal(
    ["$before", "$more", "$join"].map((id) => has(view, id)),
    [false, false, true],
  );
  assert.is(view.members.get(ALICE), "join");
  assert.is(view.unread(BOB).total, 1);

  await tidemark.sent("event", ROOM, [message("$last"), member("$kick", "leave"), message("$secret")]);
  await tidemark.sent("receipt", ROOM, [receipt(ALICE, "$secret"), receipt(BOB, "$last")]);
  await shows(all, () => has(all, "$secret") && all.isRead("$secret", ALICE));
  await shows(view, () => view.members.get(BOB) === "leave");
  assert.equal(
    ["$last", "$kick", "$secret"].map((id) => has(view, id)),
    [true, true, false],
  );
  assert.is(
    view.markers.of(ALICE).find(({ event }) => event === "$secret"),
    undefined,
  );
  assert.is(view.unread(BOB).total, 0);

  await tidemark.sent("state", ROOM, member("$back", "join"));
  await tidemark.sent("event", ROOM, message("$again"));
  await shows(view, () => has(view, "$again"));
  assert.not.ok(has(view, "$secret"));
});

viewer("has of older events that come those which the workers show the user", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [member("$join", "join"), message("$1")]);
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM, { userId: BOB });
  await using all = await frontend.room(ROOM);
  const opened = [message("$shared"), visibility("$open", "shared")];
  await tidemark.sent("history", ROOM, [
    message("$hidden"),
    visibility("$closed", "joined"),
    ...opened,
    message("$hiddenToo"),
  ]);
  await shows(all, () => has(all, "$hiddenToo"));
  await shows(view, () => has(view, "$shared") && has(view, "$open"));
  assert.equal(
    ["$hidden", "$hiddenToo", "$closed"].map((id) => has(view, id)),
    [false, false, true],
  );
});

viewer("never has what the model of visibility hides, and all that comes while the user is joined", async () => {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  let rooms = 0;
  await checkAsync(
    fc.asyncProperty(visits, async (entries) => {
      const room = `!w${rooms++}:a.org`;
      const model = new VisibilityModel(ORDERS_BASE);
      const views = new Map<string, RoomView>();
      for (const user of VISITED_USERS) views.set(user, await frontend.room(room, { userId: user }));
      const visible = new Set<string>();
      let position = 0;
      for (const entry of entries) {
        position = await sendTo(tidemark, room, model, entry);
        for (const user of VISITED_USERS) {
          for (const event of model.events) {
            const isOwn = event.event.type === "m.room.member" && event.event.state_key === user;
            if (isOwn || model.sees(user, event)) visible.add(`${user} ${event.event.event_id}`);
          }
        }
      }
      await eventually(async () => (await tidemark.query(room, { op: "snapshot" })).position === position, "folded");
      for (const [user, view] of views) {
        const { membership, position: since = 0 } = (await tidemark.query(user, { op: "rooms" })).rooms[room] ?? {};
        const expected = model.events.filter((event) => {
          return membership === "join" && event.isLive && event.position > since && model.sees(user, event);
        });
        await shows(view, () => view.members.get(user) === membership);
        await shows(view, () => expected.every(({ event }) => has(view, event.event_id)));
        for (const { event } of model.events) {
          const id = event.event_id;
          assert.ok(!has(view, id) || visible.has(`${user} ${id}`), `${user} is shown ${id}`);
        }
        view.close();
      }
    }),
    { numRuns: 12 },
  );
});

/** Sends an entry, and adds it to the model. Returns its position. */
async function sendTo(
  tidemark: Awaited<ReturnType<typeof startTidemark>>,
  room: string,
  model: VisibilityModel,
  entry: Entry,
): Promise<number> {
  if (!hasEvent(entry)) throw new Error("visits have no receipts");
  const [kind, event, asOf] = entry;
  const name = kind === LIVE ? "event" : kind === STATE ? "state" : kind === 1 ? "backfill" : "history";
  const body = kind === STATE && asOf !== undefined ? { events: [event], as_of: asOf } : event;
  const [position] = await tidemark.sent(name, room, body);
  const { orders } = await tidemark.query(room, { op: "orders", event_ids: [event.event_id] });
  model.add(position!, entry, orders[event.event_id] ?? undefined);
  return position!;
}

viewer.run();
