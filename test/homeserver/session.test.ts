/** The session that was recorded on Synapse: its transactions, and the receipts of its clients. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { serverName } from "../../src/matrix/ids.ts";
import { startFederation } from "../support/federation.ts";
import { type Body, eventually } from "../support/harness.ts";
import { call, REGISTRATION } from "../support/pushing-homeserver.ts";
import {
  delayed,
  expected,
  expectedMarkers,
  markerKey,
  type SessionLine,
  session,
  type Transaction,
} from "../support/synapse-session.ts";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

/** Sends the transactions and receipts of a session, in order. */
async function play(tidemark: Tidemark, lines: readonly SessionLine[]): Promise<void> {
  const sending: Promise<unknown>[] = [];
  for (const line of lines) {
    if ("receipt" in line) {
      const { room_id, ...receipt } = line.receipt;
      sending.push(tidemark.sent("receipt", room_id, receipt)); // one connection, so the order is kept
    } else {
      const { path, body } = line.transaction;
      const answer = await call(`${tidemark.httpUrl}${path}`, "PUT", body);
      assert.is(answer.status, 200);
    }
  }
  await Promise.all(sending);
}

/** All markers that the users of all rooms see in a snapshot. */
async function markersOf(tidemark: Tidemark): Promise<string[]> {
  const markers = new Set<string>();
  for (const room_id of expected.rooms) {
    for (const user_id of expected.users) {
      const {
        receipts,
        private: own,
        fully_read: fullyRead,
      } = await tidemark.query(room_id, { op: "snapshot", user_id });
      for (const content of [receipts, own]) {
        for (const [event_id, types] of Object.entries<Body>(content)) {
          for (const [receipt_type, users] of Object.entries<Body>(types)) {
            for (const [user, { thread_id }] of Object.entries<Body>(users)) {
              markers.add(markerKey({ room_id, user_id: user, receipt_type, event_id, thread_id }));
            }
          }
        }
      }
      if (fullyRead === undefined) continue;
      markers.add(markerKey({ room_id, user_id, receipt_type: "m.fully_read", event_id: fullyRead.event_id }));
    }
  }
  return [...markers].sort();
}

/** Removes threaded markers on the same event as an unthreaded one: a content has only one of them (MSC4102). */
function shown(markers: readonly string[]): string[] {
  return markers.filter((line) => {
    const [key, event] = line.split(" → ") as [string, string];
    const unthreaded = `${key.slice(0, key.lastIndexOf(" "))} - → ${event}`;
    return line === unthreaded || !markers.includes(unthreaded);
  });
}

/** Repeats every third transaction some lines later, and every fourth some lines earlier if it has no events. */
function disturbed(lines: readonly SessionLine[]): SessionLine[] {
  const out: { readonly line: SessionLine; readonly at: number }[] = [];
  let count = 0;
  lines.forEach((line, i) => {
    out.push({ line, at: i });
    if (!("transaction" in line)) return;
    count++;
    if (count % 3 === 0) out.push({ line, at: i + 7.5 });
    if (line.transaction.body.events.length === 0 && count % 4 === 0) out.push({ line, at: i - 9.5 });
  });
  return out.sort((a, b) => a.at - b.at).map(({ line }) => line);
}

/** From line `from` on, merges `size` transactions into one, like a homeserver that catches up. */
function batched(lines: readonly SessionLine[], from: number, size: number): SessionLine[] {
  const out = lines.slice(0, from);
  let batch: Transaction[] = [];
  const push = () => {
    const path = batch.at(-1)?.path;
    if (path !== undefined) out.push({ transaction: { path, body: bodyOf(batch) } });
    batch = [];
  };
  for (const line of lines.slice(from)) {
    if ("receipt" in line) out.push(line);
    else if (batch.push(line.transaction) === size) push();
  }
  push();
  return out;
}

function bodyOf(transactions: readonly Transaction[]): Transaction["body"] {
  const unstable = "de.sorunome.msc2409.ephemeral";
  return {
    events: transactions.flatMap(({ body }) => body.events),
    ephemeral: transactions.flatMap(({ body }) => body.ephemeral),
    [unstable]: transactions.flatMap(({ body }) => body[unstable]),
  };
}

const recorded = suite("recorded session");

recorded("with late, repeated and reordered transactions gives Synapse's event order and markers", async () => {
  await using tidemark = await startFederation({
    registration: REGISTRATION,
    federation: { serverNames: [serverName.parse("bench.test")] },
  });
  await play(tidemark, disturbed(batched(delayed(session, 40), 1_000, 5)));
  for (const room of expected.rooms) {
    const ids = expected.events_in_stream_order
      .filter(({ room_id }) => room_id === room)
      .map(({ event_id }) => event_id);
    let orders: number[] = [];
    await eventually(async () => {
      const reply = await tidemark.query(room, { op: "orders", event_ids: ids });
      orders = ids.map((id) => reply.orders[id]);
      return orders.every((order) => order > 0);
    }, "every event");
    assert.equal(
      orders,
      orders.toSorted((a, b) => a - b),
    );
  }
  assert.equal(await markersOf(tidemark), shown(expectedMarkers));
});

recorded.run();
