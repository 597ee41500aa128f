/**
 * Each recorded transaction, changed at one place: what was not changed is stored exactly once (docs/design.md#requests).
 * Here without a broker: from the body of the transaction to the entries that ingress would append.
 */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RECEIPT } from "../../actors/entry.ts";
import { decodePruned, decodeUntrusted, encode } from "../../src/bus/contract/codec.ts";
import { isWholeEntry } from "../../src/bus/contract/log-entry.ts";
import { batches } from "../../src/homeserver/delivery.ts";
import { readTransaction } from "../../src/homeserver/transaction.ts";
import { eventEntries, receiptEntries } from "../../src/ingress/validate.ts";
import { REQUEST_BYTES_MAX } from "../../src/limits.ts";
import type { RoomId, ServerName } from "../../src/matrix/ids.ts";
import { mutated, mutationAt, type Path, pathsOf } from "../support/mutations.ts";
import { checkAsync } from "../support/property.ts";
import { session } from "../support/synapse-session.ts";
import { turnsDuring } from "../support/turns.ts";

const transactions = session.flatMap((line) => ("transaction" in line ? [line.transaction.body] : []));

const localServers = new Set(["a.org" as ServerName]);

/** As text: what an entry says, and in which room. */
type Stored = string;

/** What is stored of a transaction, after the two encodings on its way: JSON, and MessagePack requests. */
async function storedOf(body: unknown): Promise<Stored[]> {
  const transaction = await readTransaction(Buffer.from(JSON.stringify(body)), { localServers, onPruned: () => {} });
  const stored: Stored[] = [];
  for (const [room, { events, receipts }] of transaction.rooms) {
    for (const batch of batches(events)) stored.push(...appended(room, "event", batch));
    for (const batch of batches(receipts)) stored.push(...appended(room, "receipt", batch));
  }
  return stored;
}

/** Throws if ingress would refuse the request. */
function appended(room: RoomId, kind: "event" | "receipt", items: readonly unknown[]): Stored[] {
  const bytes = encode(items);
  assert.ok(bytes.length <= REQUEST_BYTES_MAX, `${bytes.length}`);
  const notPruned = () => assert.unreachable("the transaction was pruned before");
  const entries =
    kind === "event"
      ? eventEntries(
          "event",
          room,
          { value: decodePruned(bytes, "msgpack", notPruned), bytes: bytes.length, at: 5 },
          notPruned,
        )
      : receiptEntries({ value: decodeUntrusted(bytes, "msgpack"), bytes: bytes.length, at: 5 });
  return entries.map((entry) => {
    assert.ok(isWholeEntry(entry), JSON.stringify(entry).slice(0, 200));
    return JSON.stringify([room, entry[0] === RECEIPT ? entry : entry[1]]);
  });
}

/** The part of a transaction that a place belongs to: an event, or a receipt, which is stored under either key. */
function partAt(body: unknown, path: Path): unknown {
  let part = body;
  for (const key of path.slice(0, path[0] === "events" ? 2 : 1)) part = (part as Record<string, unknown>)[key];
  return part;
}

const property = suite("a transaction that is changed at one place");

property("stores everything that was not changed exactly once", async () => {
  const busy = transactions.filter(({ events }) => events.length > 1);
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(...transactions, ...busy, ...busy).chain((body) => {
        const paths = pathsOf(body);
        return fc.tuple(fc.constant(body), mutationAt(paths));
      }),
      async ([body, mutation]) => {
        const stored = await storedOf(mutated(body, mutation));
        const [list] = mutation.path;
        const part = partAt(body, mutation.path);
        const untouched =
          list === "events"
            ? { ...body, events: mutation.path.length === 1 ? [] : body.events.filter((event) => event !== part) }
            : { ...body, [String(list)]: [] };
        const counts = new Map<Stored, number>();
        for (const entry of stored) counts.set(entry, (counts.get(entry) ?? 0) + 1);
        for (const entry of await storedOf(untouched)) {
          assert.is(counts.get(entry), 1, `${entry.slice(0, 300)} after ${JSON.stringify(mutation).slice(0, 300)}`);
        }
        assert.ok(stored.length <= (await storedOf(body)).length + 2);
      },
    ),
    { numRuns: 500 },
  );
});

property("has an entry for every event whose id, room, sender and type were not changed", async () => {
  const named = new Set(["event_id", "room_id", "sender", "type", "state_key"]);
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(...transactions.filter(({ events }) => events.length > 0)).chain((body) => {
        const inEvents = pathsOf(body).filter(([list, , key]) => list === "events" && key !== undefined);
        return fc.tuple(
          fc.constant(body),
          mutationAt(inEvents.filter((path) => path.length > 3 || !named.has(path[2]!))),
        );
      }),
      async ([body, mutation]) => {
        const ids = (await storedOf(mutated(body, mutation))).flatMap((entry) => {
          const [, stored] = JSON.parse(entry) as [string, { event_id?: string }];
          return stored.event_id === undefined ? [] : [stored.event_id];
        });
        assert.equal(
          ids.sort(),
          body.events.map(({ event_id }) => event_id).sort(),
          JSON.stringify(mutation).slice(0, 300),
        );
      },
    ),
    { numRuns: 500 },
  );
});

const slices = suite("a transaction with very many parts");

slices("is read over many turns of the event loop, whenever a slice has taken its time", async () => {
  const users = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`@user-${i}:a.org`, { ts: i }]));
  const content = { $event: { "m.read": users } };
  const events = Array.from({ length: 2_000 }, (_, i) => ({ event_id: `$${i}` }));
  const body = { events, ephemeral: [{ type: "m.receipt", room_id: "!r:a.org", content }] };
  const bytes = Buffer.from(JSON.stringify(body));
  let ms = 0;
  const clock = { now: () => ms++ };
  const { result, turns } = await turnsDuring(() =>
    readTransaction(bytes, { localServers, onPruned: () => {}, clock }),
  );
  assert.is(result.rooms.get("!r:a.org" as RoomId)?.receipts.length, 20_000);
  assert.is(result.malformed, 2_000);
  assert.ok(turns >= 4_000, `${turns} turns`);
});

property.run();
slices.run();
