/** `tidemark verify`. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { RoomId } from "../../src/matrix/ids.ts";
import { verify } from "../../src/replay/verify.ts";
import { failure } from "../support/failure.ts";
import {
  BASE,
  type Body,
  decoded,
  message,
  pack,
  receipt,
  startBus,
  startOn,
  startTidemark,
  token,
} from "../support/harness.ts";
import { playSession } from "../support/recorded.ts";

const ROOM = "!a:a.org" as RoomId;
const BOB = "@bob:a.org";

const verification = suite("verify");

verification("finds no difference in the recorded session, idle or in use", async () => {
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  const { rooms, entries, orders } = await verify(tidemark.nc, {});
  assert.equal({ rooms, entries, orders }, { rooms: 4, entries: 3_951, orders: 1_520 });

  let busy = true;
  const work = (async () => {
    for (let i = 0; busy; i++) {
      await tidemark.sent("event", ROOM, message(`$w${i}`));
      await tidemark.sent("receipt", ROOM, receipt(BOB, `$w${i}`));
      await tidemark.sent("receipt", ROOM, receipt(BOB, `$w${i}`, { receipt_type: "m.read.private" }));
    }
  })();
  await tidemark.sent("event", ROOM, message("$first"));
  await verify(tidemark.nc, { room: ROOM });
  await verify(tidemark.nc, {});
  busy = false;
  await work;
});

verification("finds no difference after a restart, which publishes some deltas again", async () => {
  await using tidemark = await startTidemark();
  await playSession(tidemark);
  await tidemark.restart();
  await tidemark.restart();
  assert.is((await verify(tidemark.nc, {})).rooms, 4);
});

/** A room with a live owner whose answers the test changes. */
async function withFalseOwner(change: (op: string, answer: Body) => void): Promise<string> {
  await using bus = await startBus();
  const tidemark = await startOn(bus);
  await bus.sent("event", ROOM, [message("$1"), message("$2")]);
  await bus.sent("receipt", ROOM, receipt(BOB, "$1"));
  await bus.sent("receipt", ROOM, receipt(BOB, "$2", { receipt_type: "m.read.private" }));
  await bus.sent("receipt", ROOM, receipt(BOB, "$2", { receipt_type: "m.fully_read" }));
  await verify(bus.nc, { room: ROOM });
  const right = new Map<string, Body>();
  for (const query of [
    { op: "orders", event_ids: ["$1", "$2"] },
    { op: "snapshot", timeline_limit: 0, members: false },
    { op: "snapshot", user_id: BOB, timeline_limit: 0, members: false },
  ]) {
    right.set(JSON.stringify(query), await bus.query(ROOM, query));
  }
  await tidemark.stop();
  bus.nc.subscribe(`tidemark.query.${token(ROOM)}`, {
    callback: (_, message) => {
      const query = decoded(message.data);
      const answer = structuredClone(right.get(JSON.stringify(query)));
      change(query.user_id === undefined ? query.op : "private", answer);
      message.respond(pack(answer));
    },
  });
  return await failure(verify(bus.nc, { room: ROOM, waitMs: 200 }));
}

const falseAnswers: Record<string, readonly [change: (op: string, answer: Body) => void, difference: RegExp]> = {
  "an order": [
    (op, answer) => op === "orders" && answer.orders.$2++,
    new RegExp(`\\$2 has order ${BASE + 2} in the log, the owner answers ${BASE + 3}`),
  ],
  "a missing event": [
    (op, answer) => {
      if (op === "orders") answer.orders.$1 = null;
    },
    new RegExp(`\\$1 has order ${BASE + 1} in the log, the owner answers null`),
  ],
  "a marker": [
    (op, answer) => {
      if (op === "snapshot") answer.receipts = { $2: answer.receipts.$1 };
    },
    new RegExp(
      `marker @bob:a\\.org m\\.read unthreaded is at \\$1, order ${BASE + 1}, ts 5000 in the log, the owner answers at \\$2`,
    ),
  ],
  "a missing marker": [
    (op, answer) => {
      if (op === "snapshot") answer.receipts = {};
    },
    /m\.read unthreaded is at \$1, .* the owner answers nowhere/,
  ],
  "an additional marker": [
    (op, answer) => {
      if (op === "snapshot") answer.receipts.$1["m.read"]["@eve:a.org"] = { ts: 1, order: BASE + 1 };
    },
    /@eve:a\.org m\.read unthreaded is nowhere in the log/,
  ],
  "a private marker": [
    (op, answer) => {
      if (op === "private") answer.private = {};
    },
    /the private marker @bob:a\.org m\.read\.private unthreaded/,
  ],
  "an m.fully_read": [
    (op, answer) => {
      if (op === "private") answer.fully_read.order++;
    },
    /the m\.fully_read of @bob:a\.org/,
  ],
  "a position behind the log": [
    (op, answer) => {
      if (op === "orders") answer.position = 1024;
    },
    /the owner has folded through position 1024, the log has/,
  ],
  "a position without an entry": [
    (op, answer) => {
      if (op === "orders") answer.position += 7;
    },
    /where the log has no entry of the room/,
  ],
};
for (const [what, [change, expected]] of Object.entries(falseAnswers)) {
  verification(`finds ${what} in the owner's answers`, async () => {
    const text = await withFalseOwner(change);
    assert.match(text, expected, text);
  });
}

verification("takes an m.fully_read that moved back, and not one that was published after it moved on", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  const read = (event: string) =>
    tidemark.sent("receipt", ROOM, receipt(BOB, event, { receipt_type: "m.fully_read", accepted: true }));
  const [first] = await read("$2");
  await verify(tidemark.nc, {});
  const [second] = await read("$1");
  await verify(tidemark.nc, {});
  const subject = `tidemark.user.0.${token(BOB)}.receipts`;
  const moved = { v: 1, user_id: BOB, room_id: ROOM, fully_read: { event_id: "$2", order: BASE + 2 } };
  tidemark.nc.publish(subject, pack({ ...moved, position: first }));
  await tidemark.nc.flush();
  await verify(tidemark.nc, {});
  tidemark.nc.publish(subject, pack({ ...moved, position: second }));
  await tidemark.nc.flush();
  assert.match(
    await failure(verify(tidemark.nc, { waitMs: 200 })),
    /the m\.fully_read marker of @bob:a\.org is at \$1, .* \$2, order \d+ was published last/,
  );
});

const memberEvent = (user: string, membership: string) => ({
  ...message(`$${membership}-${user}`),
  type: "m.room.member",
  state_key: user,
  content: { membership },
});

/** A room with a false delta among those that are published. */
async function withFalseDelta(plant: (positions: number[]) => readonly [subject: string, body: Body]): Promise<string> {
  await using tidemark = await startTidemark({ partitions: 1 });
  const positions = await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  positions.push(...(await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"))));
  await verify(tidemark.nc, { room: ROOM });
  const [subject, body] = plant(positions);
  tidemark.nc.publish(subject, pack(body));
  await tidemark.nc.flush();
  return await failure(verify(tidemark.nc, { room: ROOM, waitMs: 200 }));
}

const client = `tidemark.client.0.${token(ROOM)}`;
const shown = (event: string, user: string, order: number, type = "m.read") => ({
  type: "m.receipt",
  content: { [event]: { [type]: { [user]: { ts: 1, order } } } },
});
const eventsAfter = (previous: number, event: string, order: number) =>
  [
    `${client}.events`,
    {
      v: 1,
      room_id: ROOM,
      position: previous + 1,
      previous,
      kind: "live",
      events: [{ ...message(event), unsigned: { order } }],
    },
  ] as const;
const falseDeltas: Record<string, readonly [plant: Parameters<typeof withFalseDelta>[0], difference: RegExp]> = {
  "an order": [
    ([, second]) => eventsAfter(second!, "$2", BASE + 7),
    new RegExp(`\\$2 order ${BASE + 7}, the log ${BASE + 2}`),
  ],
  "the order of a receipt": [
    ([, , third]) => [
      `${client}.receipts`,
      { v: 1, room_id: ROOM, position: third! + 1, previous: third, event: shown("$2", BOB, BASE + 9) },
    ],
    new RegExp(`m\\.read +at \\$2, order ${BASE + 9}, the log has ${BASE + 2}`),
  ],
  "an event that the log does not have": [
    ([, second]) => eventsAfter(second!, "$9", BASE + 3),
    new RegExp(`\\$9 order ${BASE + 3}, the log undefined`),
  ],
  "a member that the log does not have": [
    ([, second]) => [
      `${client}.events`,
      {
        v: 1,
        room_id: ROOM,
        position: second! + 1,
        previous: second,
        kind: "state",
        events: [],
        members: { [BOB]: { membership: "join", position: second } },
      },
    ],
    /says join of @bob:a\.org at position \d+, the log undefined/,
  ],
  "a move that the log does not have": [
    ([, , third]) => [
      `${client}.receipts`,
      { v: 1, room_id: ROOM, position: third! + 1024, previous: third, event: shown("$2", BOB, BASE + 2) },
    ],
    /it is published through position 4096, and its log ends with record 3/,
  ],
  "a gap": [
    ([, , third]) => [
      `${client}.receipts`,
      { v: 1, room_id: ROOM, position: third! + 2, previous: third! + 1, event: shown("$2", BOB, BASE + 2) },
    ],
    /one is missing/,
  ],
  "a private marker": [
    ([, , third]) => [
      `tidemark.user.0.${token(BOB)}.receipts`,
      { v: 1, user_id: BOB, room_id: ROOM, position: third, event: shown("$2", BOB, BASE + 3, "m.read.private") },
    ],
    new RegExp(`m\\.read\\.private.* at \\$2, order ${BASE + 3}, the log has ${BASE + 2}`),
  ],
};
for (const [what, [plant, expected]] of Object.entries(falseDeltas)) {
  verification(`finds ${what} in the delta stream`, async () => {
    const text = await withFalseDelta(plant);
    assert.match(text, expected, text);
  });
}

verification("finds members of state entries in the stream, before and after a restart", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("state", ROOM, [memberEvent(BOB, "join"), memberEvent("@carol:a.org", "ban")]);
  await verify(tidemark.nc, {});
  await tidemark.restart();
  await tidemark.sent("state", ROOM, memberEvent(BOB, "leave"));
  assert.is((await verify(tidemark.nc, {})).deltas, 3);
});

verification("finds deltas that were not published", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", "!other:a.org", message("$0"));
  await verify(tidemark.nc, {});
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1", { receipt_type: "m.read.private" }));
  await verify(tidemark.nc, {});
  const deltas = "TIDEMARK_DELTAS_0";
  for (const [filter, expected] of [
    [`tidemark.user.0.${token(BOB)}.receipts`, /the m\.read\.private marker of @bob:a\.org .* was not published/],
    [`${client}.receipts`, /receipts changed at position 4096, and are published through 0/],
    [`${client}.events`, /events changed at position 3072, and are published through 0/],
  ] as const) {
    await tidemark.jsm.streams.purge(deltas, { filter });
    assert.match(await failure(verify(tidemark.nc, { waitMs: 200 })), expected);
  }
  await tidemark.jsm.streams.purge(deltas);
  await verify(tidemark.nc, {});
});

verification("doesn't miss a private marker of which the delta is older than the stream", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", ROOM, [message("$1"), message("$root")]);
  await tidemark.sent(
    "event",
    ROOM,
    message("$t", { content: { "m.relates_to": { rel_type: "m.thread", event_id: "$root" } } }),
  );
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$t", { receipt_type: "m.read.private", thread_id: "$root" }));
  await verify(tidemark.nc, {});
  await tidemark.jsm.streams.purge("TIDEMARK_DELTAS_0");
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1", { receipt_type: "m.read.private" }));
  await verify(tidemark.nc, {});
});

verification("reports that there is no such room, or no log", async () => {
  await using tidemark = await startTidemark();
  assert.match(await failure(verify(tidemark.nc, { room: ROOM })), "the log has no room !a:a.org");
  await using bus = await startBus();
  assert.match(await failure(verify(bus.nc, {})), "no Tidemark has made its logs on this broker yet");
});

verification.run();
