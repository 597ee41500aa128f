/** Who sees which events (docs/design.md#who-sees-what), against a naive model. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Room } from "../../../actors/room/room.ts";
import { Visibility } from "../../../actors/room/visibility.ts";

import { backfilled, history, live, member, state } from "../../support/entries.ts";
import { BASE, BOB, CARA } from "../../support/example-room.ts";
import { at, given, Story } from "../../support/given.ts";
import { check } from "../../support/property.ts";
import { VisibilityModel } from "../../support/visibility-model.ts";
import { VISITED_USERS, visits } from "../../support/visits.ts";

const visibility = (value: unknown, fields: object = {}) => ({
  type: "m.room.history_visibility",
  state_key: "",
  content: { history_visibility: value },
  ...fields,
});

function seen(room: Room, user: typeof BOB): string[] {
  const view = new Visibility(room, user);
  const events = Array.from(room.events, ([id, { order }]) => ({ id, order })).sort((a, b) => a.order - b.order);
  return events.filter(({ order }) => view.sees(order)).map(({ id }) => id);
}

const visible = suite("what a user sees");

visible("is all that came before a join, where history is shared", () => {
  const { room } = given(
    live("$1"),
    live("$join", member(BOB, "join")),
    live("$2"),
    live("$leave", member(BOB, "leave")),
  );
  assert.equal(seen(room, BOB), ["$1", "$join", "$2", "$leave"]);
  assert.equal(seen(room, CARA), []);
});

visible("ends with the leave", () => {
  const { room } = given(live("$join", member(BOB, "join")), live("$leave", member(BOB, "leave")), live("$1"));
  assert.equal(seen(room, BOB), ["$join", "$leave"]);
});

visible("begins with the join where history is joined, and with the invitation where it is invited", () => {
  for (const [value, expected] of [
    ["joined", ["$vis", "$2", "$join", "$3"]],
    ["invited", ["$vis", "$invite", "$2", "$join", "$3"]],
  ] as const) {
    const { room } = given(
      live("$vis", visibility(value)),
      live("$1"),
      live("$invite", member(BOB, "invite")),
      live("$2"),
      live("$join", member(BOB, "join")),
      live("$3"),
    );
    const rest = value === "joined" ? expected.filter((id) => id !== "$2") : expected;
    assert.equal(seen(room, BOB), rest, value);
  }
});

visible("is everything of a room that the world may read, and the events that begin and end that", () => {
  const { room } = given(
    live("$joined", visibility("joined")),
    live("$1"),
    live("$world", visibility("world_readable")),
    live("$2"),
    live("$again", visibility("joined")),
    live("$3"),
  );
  assert.equal(seen(room, BOB), ["$world", "$2", "$again"]);
});

visible("counts a visibility that isn't understood as shared", () => {
  for (const value of ["weird", 7, undefined]) {
    const { room } = given(live("$vis", visibility(value)), live("$1"), live("$join", member(BOB, "join")));
    assert.equal(seen(room, BOB), ["$vis", "$1", "$join"]);
  }
});

visible("is nothing of a knock, an invitation, and their end, beside the shared history before a join", () => {
  for (const membership of ["knock", "invite"]) {
    const { room } = given(live("$in", member(BOB, membership)), live("$1"), live("$out", member(BOB, "leave")));
    assert.equal(seen(room, BOB), [], membership);
  }
});

visible("of history that nothing tells of is nothing, also when the user is joined now", () => {
  const { room } = given(live("$join", member(BOB, "join")), history("$0"), backfilled("$-1"), live("$1"));
  assert.equal(seen(room, BOB), ["$join", "$1"]);
});

visible("of history goes by what a state entry says, if its event isn't known", () => {
  const entries = [state("$vis", visibility("shared")), state("$bob", member(BOB, "join")), history("$0")];
  assert.equal(seen(given(...entries).room, BOB), ["$0"]);
  const { room } = given(...entries, history("$bob", member(BOB, "join")), history("$-1"));
  assert.equal(seen(room, BOB), ["$-1", "$bob", "$0"]);
  const { room: later } = given(...entries, live("$vis", visibility("shared")), history("$-2"));
  assert.equal(seen(later, CARA), []);
});

visible("of history goes by what was before the next change", () => {
  const prev = (membership: string) => ({ unsigned: { prev_content: { membership } } });
  const joined = given(live("$leave", { ...member(BOB, "leave"), ...prev("join") }), history("$0"), live("$1"));
  assert.equal(seen(joined.room, BOB), ["$0", "$leave"]);
  const left = given(live("$ban", { ...member(BOB, "ban"), ...prev("leave") }), history("$0"));
  assert.equal(seen(left.room, BOB), []);
});

visible("depends on the order of events, not on when they came", () => {
  const { room } = given(
    live("$vis", visibility("joined")),
    live("$join", member(BOB, "join")),
    state("$left", member(BOB, "leave")),
    live("$1"),
    live("$2"),
  );
  assert.equal(seen(room, BOB), ["$vis", "$join"]);
  const { room: corrected } = given(
    live("$join", member(BOB, "join")),
    live("$leave", member(BOB, "leave")),
    live("$1"),
    state("$join", member(BOB, "join"), 1_001),
  );
  assert.equal(seen(corrected, BOB), ["$join", "$leave"]);
});

visible("is not hidden by a state entry without a membership, at the place of one that says join", () => {
  const odd = { ...member(BOB, "join"), content: { membership: 7 } };
  const { room } = given(
    live("$vis", visibility("joined")),
    state("$bob", member(BOB, "join"), BASE + 1),
    state("$odd", odd, BASE + 1),
    live("$1"),
  );
  assert.equal(seen(room, BOB), ["$vis", "$1"]);
});

visible("agrees with a naive model", () => {
  check(
    fc.property(visits, (entries) => {
      const story = new Story();
      const model = new VisibilityModel(story.room.base);
      entries.forEach((entry, i) => {
        story.fold(entry);
        const id = entry[1] as unknown as { event_id: string };
        model.add(at(i + 1), entry, story.order(id.event_id));
      });
      for (const user of VISITED_USERS) {
        const view = new Visibility(story.room, user);
        for (const event of model.events) {
          const { order } = event;
          assert.is(view.sees(order), model.sees(user, event), `${user} ${event.event.event_id}`);
          assert.is(view.stayed(order), model.stayed(user, event), `${user} ${event.event.event_id}`);
          for (const dir of ["b", "f"] as const) {
            const edge = view.edge(order, dir);
            const between = model.events.filter((other) =>
              dir === "f" ? other.order > order && other.order < edge : other.order < order && other.order > edge,
            );
            for (const other of between) {
              if (!model.sees(user, event)) assert.not(model.sees(user, other));
              if (!model.stayed(user, event)) assert.not(model.stayed(user, other));
            }
          }
        }
        assert.is(view.lastLeave(), model.lastLeave(user));
      }
    }),
    { numRuns: 100 },
  );
});

visible.run();
