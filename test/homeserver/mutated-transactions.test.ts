/**
 * The transactions of the recorded session, each changed at one place, over HTTP and into the log: each is answered with
 * 200, and everything that was not touched is stored once (docs/design.md#requests).
 */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { OWN, startFederation } from "../support/federation.ts";
import { type Body, decoded } from "../support/harness.ts";
import { mutated, mutationAt, overlap, type Path, pathsOf } from "../support/mutations.ts";
import { checkAsync } from "../support/property.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";
import { session, type Transaction } from "../support/synapse-session.ts";

const UNSTABLE = "de.sorunome.msc2409.ephemeral";
const EPHEMERAL_KEYS = ["ephemeral", UNSTABLE] as const;
const TRANSACTIONS_MAX = 6;

/** Without these an event has no place in the order. */
const NEEDED = ["event_id", "room_id", "sender", "type"];

const transactions = session.flatMap((line) => ("transaction" in line ? [line.transaction.body] : []));

/** Some transactions that follow each other, as one. */
const batch = fc
  .tuple(fc.nat(transactions.length - 1), fc.integer({ min: 1, max: TRANSACTIONS_MAX }))
  .map(([from, count]): Transaction["body"] => {
    const bodies = transactions.slice(from, from + count);
    return {
      events: bodies.flatMap(({ events }) => events),
      ephemeral: bodies.flatMap(({ ephemeral }) => ephemeral),
      [UNSTABLE]: bodies.flatMap((body) => body[UNSTABLE]),
    };
  });

/** What must be in the log once: everything that is not at or around the place, as text. */
function untouched(body: Transaction["body"], path: Path): Set<string> {
  const expected = new Set<string>();
  body.events.forEach((event, i) => {
    if (!overlap(path, ["events", `${i}`])) expected.add(eventText(event.room_id, event));
  });
  for (const key of EPHEMERAL_KEYS) {
    body[key].forEach(({ type: item, room_id: room, content }, i) => {
      const at = [key, `${i}`];
      if (item !== "m.receipt" || overlap(path, [...at, "room_id"]) || overlap(path, [...at, "type"])) return;
      for (const [event, types] of Object.entries(content)) {
        for (const [type, users] of Object.entries(types)) {
          for (const [user, { ts }] of Object.entries(users)) {
            if (overlap(path, [...at, "content", event, type, user])) continue;
            expected.add(JSON.stringify([room, user, type, event, "?", ts, ...originOf(user)]));
          }
        }
      }
    });
  }
  return expected;
}

/** Local users' receipts have none; others, the homeserver has accepted. */
function originOf(user: string): unknown[] {
  const server = user.slice(user.indexOf(":") + 1);
  return server === OWN ? [null] : [server, true];
}

/** Of a room that was pushed to before, receipts may be there already, and are not stored again. */
function inOwnRooms(body: Transaction["body"], run: number): Transaction["body"] {
  return JSON.parse(JSON.stringify(body).replaceAll('"room_id":"!', `"room_id":"!${run}-`));
}

function eventText(room: string, { event_id, type, sender, state_key, origin_server_ts, content }: Body): string {
  return JSON.stringify([room, event_id, type, sender, state_key, origin_server_ts, content]);
}

function entryText(room: string, [kind, ...rest]: Body): string {
  return kind === 2 ? JSON.stringify([room, ...rest]) : eventText(room, rest[0]);
}

const fuzzed = suite("a recorded transaction that is changed at one place");

fuzzed("is answered with 200, and everything that was not touched is stored once", async () => {
  await using tidemark = await startFederation({ registration: REGISTRATION });
  let stored: { readonly room: string; readonly entry: Body }[] = [];
  tidemark.nc.subscribe("tidemark.log.*.*", {
    callback: (_, { subject, data }) => {
      const room = decodeURIComponent(subject.split(".")[3]!);
      for (const entry of decoded(data)[2]) stored.push({ room, entry });
    },
  });
  await tidemark.nc.flush();
  let pushed = 0;
  let checked = 0;
  await checkAsync(
    fc.asyncProperty(
      batch.chain((body) => fc.tuple(fc.constant(body), mutationAt(pathsOf(body)))),
      async ([recorded, mutation]) => {
        stored = [];
        const body = inOwnRooms(recorded, pushed);
        const answer = await push(tidemark, `fuzz-${pushed++}`, mutated(body, mutation));
        assert.equal(answer, { status: 200, body: {} });
        await tidemark.nc.flush();

        const counts = new Map<string, number>();
        for (const { room, entry } of stored) {
          const key = entryText(room, entry);
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
        const expected = untouched(body, mutation.path);
        for (const key of expected) assert.is(counts.get(key), 1, key);
        checked += expected.size;
        const [list, index, field] = mutation.path;
        const touched = list === "events" && field !== undefined ? body.events[Number(index)] : undefined;
        if (touched === undefined || NEEDED.includes(field!)) return;
        const events = stored.filter(({ entry: [kind, event] }) => kind === 0 && event.event_id === touched.event_id);
        assert.is(events.length, 1, "the event that was touched has its place");
      },
    ),
    { numRuns: 100 },
  );
  assert.ok(checked > pushed, `${checked} entries`);
  assert.is((await fetch(`${tidemark.httpUrl}/readyz`)).status, 200);
});

fuzzed.run();
