/** What a viewer gets of a room: timeline, pages of history, state (docs/design.md#who-sees-what), against a naive model. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, type Position, sequenceOf } from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { Question } from "../../../src/bus/contract/questions.ts";
import { TIMELINE_EVENTS_DEFAULT } from "../../../src/limits.ts";
import { type MatrixEvent, withOrder } from "../../../src/matrix/event.ts";
import type { UserId } from "../../../src/matrix/ids.ts";
import { Bodies, type StatePosition } from "../../../src/worker/queries/bodies.ts";
import { eventPage } from "../../../src/worker/queries/event-pages.ts";
import { sizeIn } from "../../../src/worker/queries/sizes.ts";
import { snapshot } from "../../../src/worker/queries/snapshot.ts";
import { statePage } from "../../../src/worker/queries/state-pages.ts";
import { live, member, receipt, state } from "../../support/entries.ts";
import { BASE, BOB, CARA } from "../../support/example-room.ts";
import { at, Story } from "../../support/given.ts";
import { checkAsync } from "../../support/property.ts";
import { roomOver } from "../../support/stored-room.ts";
import { type ModelledEvent, VisibilityModel } from "../../support/visibility-model.ts";
import { VISITED_USERS, visits } from "../../support/visits.ts";

/** Bodies of a log that is in memory. */
class Log extends Bodies {
  readonly #entries: readonly Entry[];

  constructor(entries: readonly Entry[]) {
    super(undefined as never, 0);
    this.#entries = entries;
  }

  override async at(room: Room, positions: readonly Position[]) {
    return positions.map((position) => {
      const event = this.#event(position);
      return withOrder(event, room.events.get(event.event_id)!.order);
    });
  }

  override async state(_room: Room, places: readonly StatePosition[]) {
    return places.map(({ position }) => this.#event(position));
  }

  #event(position: Position): MatrixEvent {
    const entry = this.#entries[sequenceOf(position) - 1]!;
    if (!hasEvent(entry)) throw new Error("a receipt has no body");
    return entry[1];
  }
}

function folded(entries: readonly Entry[]) {
  const story = new Story(roomOver({}));
  const model = new VisibilityModel(story.room.base);
  entries.forEach((entry, i) => {
    story.fold(entry);
    model.add(at(i + 1), entry, hasEvent(entry) ? story.order(entry[1].event_id) : undefined);
  });
  model.events.sort((a, b) => a.order - b.order);
  return { room: story.room, model, bodies: new Log(entries) };
}

const asking = (bodies: Bodies, room: Room) => ({ bodies, room, sizeOf: sizeIn("msgpack") });
const idsOf = (events: readonly { readonly event_id: string }[]) => events.map(({ event_id: id }) => id);
const modelIds = (events: readonly ModelledEvent[]) => idsOf(events.map(({ event }) => event));

async function statesOf(bodies: Bodies, room: Room, asked: Omit<Question<"state">, "op">): Promise<string[]> {
  return idsOf((await statePage(asking(bodies, room), { op: "state", ...asked })).events);
}

const viewers = suite("a viewer");

viewers("gets of the timeline exactly what the model shows, and is told when some of it is left out", async () => {
  await checkAsync(
    fc.asyncProperty(visits, fc.nat(40), fc.nat(6), async (entries, back, limit) => {
      const { room, model, bodies } = folded(entries);
      const since = at(Math.max(0, entries.length - back));
      for (const viewer of VISITED_USERS) {
        const member = room.members.get(viewer);
        const answer = await snapshot(asking(bodies, room), { op: "snapshot", viewer, since, timeline_limit: limit });
        assert.is(answer.membership, member?.membership);
        const isNewStay = limit > 0 && member?.membership === "join" && member.position > since;
        const hasLeft = ["leave", "ban"].includes(member?.membership ?? "");
        const isWhole = since > 0 && (isNewStay || (hasLeft && model.knownMembership(viewer, since) !== "join"));
        assert.is(answer.whole, isWhole ? true : undefined);
        const known = isWhole ? [] : model.events.filter(({ position, order }) => order > 0 && position <= since);
        const after = known.at(-1)?.order ?? 0;
        const shown = model.events.filter((event) => {
          if (event.order <= after) return false;
          if (member?.membership === "join") return model.sees(viewer, event);
          return hasLeft && model.stayed(viewer, event);
        });
        assert.equal(idsOf(answer.timeline), modelIds(limit === 0 ? [] : shown.slice(-limit)), viewer);
        assert.is(answer.limited, shown.length > limit ? true : undefined);
      }
    }),
    { numRuns: 100 },
  );
});

viewers("gets pages of history with what the model shows, in either direction", async () => {
  await checkAsync(
    fc.asyncProperty(visits, fc.integer({ min: 1, max: 5 }), fc.constantFrom("b", "f"), async (entries, limit, dir) => {
      const { room, model, bodies } = folded(entries);
      for (const viewer of VISITED_USERS) {
        const ids: string[] = [];
        for (let from: number | undefined, more = true; more; ) {
          const ask = {
            op: "events" as const,
            dir: dir as "b" | "f",
            viewer,
            limit,
            ...(from !== undefined && { from }),
          };
          const page = await eventPage(asking(bodies, room), ask);
          assert.ok(page.events.length <= limit);
          ids.push(...idsOf(page.events));
          from = page.next;
          more = from !== undefined;
        }
        const expected = modelIds(model.events.filter((event) => model.sees(viewer, event)));
        assert.equal(ids, dir === "f" ? expected : expected.reverse());
      }
    }),
    { numRuns: 60 },
  );
});

viewers("gets the state as of any order that is visible, and as of the leave", async () => {
  await checkAsync(
    fc.asyncProperty(visits, fc.nat(40), fc.nat(40), async (entries, which, back) => {
      const { room, model, bodies } = folded(entries);
      const since = at(Math.max(0, entries.length - back));
      const event = model.events[which % Math.max(1, model.events.length)];
      if (event === undefined) return;
      for (const viewer of [undefined, ...VISITED_USERS]) {
        const page = await statePage(asking(bodies, room), {
          op: "state",
          since,
          at: event.order,
          ...(viewer && { viewer }),
        });
        const expected = stateOf(room, model, viewer, event).filter((position) => position > since);
        const ids = expected.sort((a, b) => a - b).map((position) => entries[sequenceOf(position) - 1]![1]);
        assert.equal(idsOf(page.events), idsOf(ids as MatrixEvent[]), viewer ?? "nobody");
      }
    }),
    { numRuns: 100 },
  );
});

function stateOf(room: Room, model: VisibilityModel, viewer: UserId | undefined, event: ModelledEvent): Position[] {
  if (viewer === undefined) return [...model.stateAt(event.order).values()];
  const own = room.state.get(`13 m.room.member ${viewer}`)?.position;
  const onlyOwn = own === undefined ? [] : [own];
  const membership = room.members.get(viewer)?.membership;
  const left = membership === "join" ? undefined : model.lastLeave(viewer);
  if (membership !== "join" && left === undefined) return onlyOwn;
  if (!model.sees(viewer, event)) return onlyOwn;
  return [...model.stateAt(Math.min(event.order, left ?? event.order)).values()];
}

const named = (type: string, id: string) => live(id, { type, state_key: "" });

viewers("who was kicked gets the member event and what came before it, and nothing after", async () => {
  const { room, bodies } = folded([
    live("$join", member(BOB, "join")),
    live("$1"),
    receipt(BOB, "$1"),
    live("$kick", member(BOB, "leave")),
    live("$2"),
  ]);
  const {
    membership,
    member: event,
    timeline,
    limited,
    receipts,
    private: own,
  } = await snapshot(asking(bodies, room), {
    op: "snapshot",
    viewer: BOB,
    since: at(1),
    timeline_limit: TIMELINE_EVENTS_DEFAULT,
  });
  assert.equal(idsOf(timeline), ["$1", "$kick"]);
  assert.equal({ membership, id: event?.event_id, limited }, { membership: "leave", id: "$kick", limited: undefined });
  assert.equal([receipts, own], [{}, {}]);
});

viewers(
  "who was shown a knock gets the stay before it whole with the leave, though the knock is not published yet",
  async () => {
    const { room, bodies } = folded([
      live("$join", member(BOB, "join")),
      live("$1"),
      state("$knock", member(BOB, "knock"), BASE + 2),
      live("$leave", member(BOB, "leave")),
    ]);
    const ask = { op: "snapshot" as const, viewer: BOB, since: at(1) };
    const knew = await snapshot(asking(bodies, room), { ...ask, since_memberships: [at(3)] });
    assert.equal([idsOf(knew.timeline), knew.whole], [["$join", "$1", "$leave"], true]);
    const other = await snapshot(asking(bodies, room), { ...ask, since_memberships: [at(2)] });
    assert.equal([idsOf(other.timeline), other.whole], [["$1", "$leave"], undefined]);
  },
);

viewers("whose whole stay came since gets all of it, also when it is said of events before", async () => {
  const { room, bodies } = folded([
    live("$1"),
    live("$2"),
    state("$join", member(BOB, "join"), BASE + 1),
    live("$leave", member(BOB, "leave")),
  ]);
  const ask = { op: "snapshot" as const, viewer: BOB };
  const { timeline, whole } = await snapshot(asking(bodies, room), { ...ask, since: at(2) });
  assert.equal([idsOf(timeline), whole], [["$1", "$2", "$leave"], true]);
  const joined = await snapshot(asking(bodies, room), { ...ask, since: at(3) });
  assert.equal([idsOf(joined.timeline), joined.whole], [["$leave"], undefined]);
});

viewers("who was never there gets the own member event alone, also when a state entry set it", async () => {
  for (const entry of [live("$ban", member(BOB, "ban")), state("$ban", member(BOB, "ban"))]) {
    const { room, bodies } = folded([live("$1"), named("m.room.name", "$name"), entry, live("$2")]);
    const answer = await snapshot(asking(bodies, room), { op: "snapshot", viewer: BOB });
    assert.equal(idsOf(answer.timeline), entry[0] === 0 ? ["$ban"] : []);
    assert.is(answer.member?.event_id, "$ban");
    assert.equal(await statesOf(bodies, room, { viewer: BOB }), ["$ban"]);
    assert.equal(await statesOf(bodies, room, { viewer: BOB, stripped: true }), ["$ban"]);
  }
});

viewers("without any membership gets nothing", async () => {
  const { room, bodies } = folded([live("$1"), live("$join", member(CARA, "join")), receipt(CARA, "$1")]);
  const {
    timeline,
    receipts,
    member: event,
    membership,
  } = await snapshot(asking(bodies, room), { op: "snapshot", viewer: BOB });
  assert.equal(
    { timeline, receipts, event, membership },
    { timeline: [], receipts: {}, event: undefined, membership: undefined },
  );
  assert.equal(await statesOf(bodies, room, { viewer: BOB }), []);
});

viewers("who is invited or knocks gets stripped state", async () => {
  for (const membership of ["invite", "knock"]) {
    const { room, bodies } = folded([
      named("m.room.create", "$create"),
      named("m.room.topic", "$old"),
      named("m.room.power_levels", "$power"),
      live("$cara", member(CARA, "join")),
      live("$bob", member(BOB, membership)),
      named("m.room.topic", "$topic"),
    ]);
    assert.equal(await statesOf(bodies, room, { viewer: BOB, stripped: true }), ["$create", "$bob", "$topic"]);
    assert.equal(await statesOf(bodies, room, { viewer: BOB }), ["$bob"]);

    const back = folded([
      named("m.room.create", "$create"),
      named("m.room.topic", "$old"),
      live("$in", member(BOB, "join")),
      live("$out", member(BOB, "leave")),
      named("m.room.topic", "$topic"),
      live("$bob", member(BOB, membership)),
    ]);
    const stripped = await statesOf(back.bodies, back.room, { viewer: BOB, stripped: true });
    assert.equal(stripped, ["$create", "$topic", "$bob"], "as the room is now, for one who was there before");
  }
});

const filters = suite("state that is asked for");

filters("is of the named types, and has no members but the named ones", async () => {
  const { room, bodies } = folded([
    named("m.room.create", "$create"),
    live("$bob", member(BOB, "join")),
    live("$cara", member(CARA, "join")),
    named("m.room.topic", "$topic"),
  ]);
  assert.equal(await statesOf(bodies, room, {}), ["$create", "$bob", "$cara", "$topic"]);
  assert.equal(await statesOf(bodies, room, { members: [] }), ["$create", "$topic"]);
  assert.equal(await statesOf(bodies, room, { members: [CARA], since: at(1) }), ["$cara", "$topic"]);
  assert.equal(await statesOf(bodies, room, { types: ["m.room.topic", "m.room.member"], members: [BOB] }), [
    "$bob",
    "$topic",
  ]);
  assert.equal(await statesOf(bodies, room, { types: ["m.room.topic"] }), ["$topic"]);
  assert.equal(await statesOf(bodies, room, { types: [] }), []);
});

viewers.run();
filters.run();
