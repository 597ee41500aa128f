/** Room histories compared with the fold. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { positionOf, RECEIPT, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import { fold, isRead } from "../../../actors/room/fold.ts";
import { Room } from "../../../actors/room/room.ts";
import { eventEntries, receiptEntries } from "../../../src/ingress/validate.ts";
import type { EventId, RoomId, UserId } from "../../../src/matrix/ids.ts";
import { FULLY_READ, READ } from "../../../src/matrix/receipt-types.ts";
import { RoomHistory } from "../../../src/replay/history/room-history.ts";
import { type Step, stepOf } from "../../../src/replay/history/step.ts";
import { placeAt, threadAt } from "../../../src/replay/history/tracks.ts";
import { why } from "../../../src/replay/history/why-text.ts";
import { Refold } from "../../../src/replay/refold.ts";
import { EVENT_IDS, type Positioned, USERS, history as withKnownThreads } from "../../support/arbitraries.ts";
import { ROOM } from "../../support/example-room.ts";
import { check } from "../../support/property.ts";
import { recordsOf, session } from "../../support/records.ts";
import { stateOf } from "../../support/room-state.ts";

/** Histories in which some receipts are of unknown thread. */
const histories = withKnownThreads.map((positioned) =>
  positioned.map(({ position, entry }): Positioned => {
    if (entry[0] !== RECEIPT || entry[6] !== null || entry[5] % 3 !== 0) return { position, entry };
    const [kind, user, type, event, , ts, origin] = entry;
    return { position, entry: [kind, user, type === FULLY_READ ? READ : type, event, UNKNOWN_THREAD, ts, origin] };
  }),
);

function stepsOf(positioned: readonly Positioned[]): Step[] {
  const refold = new Refold();
  const steps: Step[] = [];
  for (const record of recordsOf(positioned))
    refold.fold({ partition: 0, room: ROOM, record }, (room, folded) => steps.push(stepOf(room, folded)));
  return steps;
}

function historyOf(steps: readonly Step[], options = {}): RoomHistory {
  const history = new RoomHistory(ROOM, options);
  for (const step of steps) history.add(step);
  return history;
}

/** The users and events that a view is about. */
interface Subjects {
  readonly users: readonly UserId[];
  readonly ids: readonly string[];
}

const ARBITRARY: Subjects = { users: USERS, ids: EVENT_IDS };

/** What can be compared between a live room and a history. */
function liveView(room: Room, { users, ids }: Subjects = ARBITRARY) {
  return {
    markers: Array.from(room.markers, (marker) =>
      [marker.user, marker.type, marker.thread, !!marker.inferred, marker.event, marker.order, marker.position].join(
        " ",
      ),
    ).sort(),
    held: Array.from(room.held, ({ position }) => position),
    members: Object.entries(room.memberships())
      .map(([user, membership]) => `${user} ${membership}`)
      .sort(),
    orders: ids.map((id) => room.events.get(id as EventId)?.order ?? null),
    threads: ids.map((id) => (room.events.get(id as EventId)?.thread as string | undefined) ?? null),
    read: users.map((user) => ids.map((id) => isRead(room, user, id as EventId))),
    unread: users.map((user) => {
      const { unthreaded, main, threads } = room.unreadCounts(user);
      return { total: unthreaded, main, threads: Object.fromEntries([...threads].sort()) };
    }),
  };
}

function threadIn(history: RoomHistory, id: string, position: number): string | null {
  const event = history.eventAt(id, position);
  return event === undefined ? null : threadAt(event, position);
}

function historyView(
  history: RoomHistory,
  position: number,
  { users, ids }: Subjects = ARBITRARY,
): ReturnType<typeof liveView> {
  const markers: string[] = [];
  for (const marker of history.markers()) {
    const move = placeAt(marker, position);
    if (move === undefined) continue;
    const { user, type, thread, inferred } = marker;
    markers.push([user, type, thread, inferred, move.event, move.order, move.position].join(" "));
  }
  return {
    markers: markers.sort(),
    held: history.heldAt(position).map((held) => held.position),
    members: history
      .users(position)
      .flatMap((user) => {
        const membership = history.membership(user, position);
        return membership === undefined ? [] : [`${user} ${membership}`];
      })
      .sort(),
    orders: ids.map((id) => history.eventAt(id, position)?.order ?? null),
    threads: ids.map((id) => threadIn(history, id, position)),
    read: users.map((user) => ids.map((id) => history.isRead(user, id, position))),
    unread: users.map((user) => {
      const { total, main, threads } = history.unread(user, position);
      return { total, main, threads: Object.fromEntries([...threads].sort()) };
    }),
  };
}

const roomHistory = suite("room history");

roomHistory("equals the live room at every position, for any log", () => {
  check(
    fc.property(histories, (positioned) => {
      const history = historyOf(stepsOf(positioned));
      const room = new Room(ROOM, 0);
      for (const { position, entry } of positioned) {
        fold(room, position, entry);
        assert.equal(historyView(history, position), liveView(room), `at ${position}`);
      }
    }),
    { numRuns: 300 },
  );
});

roomHistory("equals the live room at every position of the recorded session", () => {
  const requests = session();
  const users = [...new Set(requests.map(({ body }) => (body.user_id ?? body.sender) as UserId))];
  const subjects = { users, ids: requests.map(({ body }) => body.event_id as string).filter((_, i) => i % 400 === 0) };
  const views: { history: RoomHistory; position: number; live: string }[] = [];
  const rooms = new Map<string, { readonly room: Room; readonly history: RoomHistory; readonly refold: Refold }>();
  let sequence = 0;
  for (const { kind, room: id, body } of requests) {
    sequence++;
    let known = rooms.get(id);
    if (known === undefined) {
      known = { room: new Room(id as RoomId, 0), history: new RoomHistory(id), refold: new Refold() };
      rooms.set(id, known);
    }
    const { room, history, refold } = known;
    const request = { value: body, bytes: 0, at: sequence };
    const entries = kind === "receipt" ? receiptEntries(request) : eventEntries("event", room.id, request, () => {});
    refold.fold({ partition: 0, room: room.id, record: { sequence, at: sequence, entries } }, (refolded, folded) =>
      history.add(stepOf(refolded, folded)),
    );
    fold(room, positionOf(sequence, 0), entries[0]!);
    views.push({ history, position: history.position, live: JSON.stringify(liveView(room, subjects)) });
  }
  // Compares afterwards, so that the history is complete.
  for (const { history, position, live } of views)
    assert.is(JSON.stringify(historyView(history, position, subjects)), live);
  assert.is(views.length, 3_951);
});

roomHistory("of a refold that ends early has the same room as the fold", () => {
  check(
    fc.property(histories, fc.nat(), (positioned, choice) => {
      const until = positioned[choice % positioned.length]!.position;
      const refold = new Refold({ position: until });
      for (const record of recordsOf(positioned)) refold.fold({ partition: 0, room: ROOM, record });
      const room = new Room(ROOM, 0);
      for (const { position, entry } of positioned) if (position <= until) fold(room, position, entry);
      assert.equal(stateOf(refold.rooms.get(ROOM) ?? new Room(ROOM, 0), USERS), stateOf(room, USERS));
    }),
  );
});

roomHistory("of a refold ends before the first later record", () => {
  const entry = recordsOf(fc.sample(histories, { numRuns: 1, seed: 1 })[0]!)[0]!.entries[0]!;
  const refold = new Refold({ at: 2_000 });
  for (const [sequence, at] of [
    [1, 1_000],
    [2, 2_000],
    [3, 3_000],
    [4, 1_500],
  ] as const) {
    refold.fold({ partition: 0, room: ROOM, record: { sequence, at, entries: [entry] } });
  }
  assert.is(refold.entries, 2);
  assert.ok(refold.ended);
});

roomHistory("has steps that survive JSON", () => {
  check(
    fc.property(histories, (positioned) => {
      const steps = stepsOf(positioned);
      assert.equal(JSON.parse(JSON.stringify(steps)), steps);
    }),
  );
});

roomHistory("has steps with the previous place of each moved marker", () => {
  check(
    fc.property(withKnownThreads, (positioned) => {
      const places = new Map<string, object>();
      for (const step of stepsOf(positioned)) {
        if (step.kind === "erasure") {
          for (const key of places.keys()) if (key.startsWith(`${step.user} `)) places.delete(key);
        }
        for (const judged of [step, ...(step.judged ?? [])]) {
          // An inferred marker may be dropped, and begin again.
          if (judged.to === undefined || judged.thread === UNKNOWN_THREAD) continue;
          const key = `${judged.user} ${judged.type} ${judged.thread}`;
          assert.equal(judged.from, places.get(key) ?? null);
          // F7. An `m.fully_read` that a homeserver has accepted may move back.
          assert.ok(
            judged.from == null ||
              judged.from.order < judged.to.order ||
              ("type" in judged && judged.type === FULLY_READ),
          );
          places.set(key, judged.to);
        }
      }
    }),
  );
});

roomHistory("explains the verdict of F12, for any event and user at any position", () => {
  check(
    fc.property(histories, (positioned) => {
      const history = historyOf(stepsOf(positioned));
      for (const { position } of positioned) {
        for (const user of USERS) {
          for (const event of EVENT_IDS) {
            const read = history.isRead(user, event, position);
            const { verdict, entries } = why(history, { user, event, position });
            assert.is(verdict, read === null ? "unknown" : read ? "read" : "unread");
            assert.ok(entries.every((entry) => entry.position <= position));
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

roomHistory("drops only old steps beyond the maximum", () => {
  check(
    fc.property(histories, (positioned) => {
      const steps = stepsOf(positioned);
      const whole = historyOf(steps);
      const bounded = historyOf(steps, { stepsMax: 4 });
      assert.ok(bounded.steps.length <= 5);
      assert.equal(bounded.steps, steps.slice(-bounded.steps.length));
      assert.is(bounded.entries, steps.length);
      assert.equal(historyView(bounded, whole.position), historyView(whole, whole.position));
    }),
  );
});

roomHistory("with endOnly keeps one move per marker, and has the same state at its end", () => {
  check(
    fc.property(histories, (positioned) => {
      const steps = stepsOf(positioned);
      const whole = historyOf(steps);
      const atEnd = historyOf(steps, { endOnly: true });
      // A second one says that it is gone.
      for (const { moves } of atEnd.markers()) assert.ok(moves.length <= (moves.at(-1)!.gone ? 2 : 1));
      assert.equal(historyView(atEnd, whole.position), historyView(whole, whole.position));
    }),
  );
});

roomHistory.run();
