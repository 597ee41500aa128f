/** A session recorded from a real homeserver, served through `/sync`, and compared with that homeserver's database. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Client, httpClient, startGateway } from "../support/gateway.ts";
import type { Body } from "../support/harness.ts";

const SESSION = join(import.meta.dirname, "../fixtures/synapse-session");
const LINES_AT_ONCE = 100;

/** What a client holds of a room after applying answers: markers by `type user thread`, and the fully-read marker. */
class Held {
  readonly markers = new Map<string, { readonly event: string; readonly order: number }>();
  readonly fullyRead = new Map<string, string>();

  apply(body: Body): void {
    for (const [room, section] of Object.entries<Body>(body.rooms.join)) {
      for (const { content } of section.account_data.events) this.fullyRead.set(room, content.event_id);
      const [receipts] = section.ephemeral.events;
      for (const [event, types] of Object.entries<Body>(receipts?.content ?? {})) {
        for (const [type, users] of Object.entries<Body>(types)) {
          for (const [user, { thread_id: thread = "", order }] of Object.entries<Body>(users)) {
            this.markers.set(`${room} ${type} ${user} ${thread}`, { event, order });
          }
        }
      }
    }
  }
}

const session = suite("recorded session");

session("/sync ends in the receipts and markers that the homeserver had, at once and by increments", async () => {
  const lines = (await readFile(join(SESSION, "session.ndjson"), "utf8")).trim().split("\n");
  const expected: Body = JSON.parse(await readFile(join(SESSION, "expected.json"), "utf8"));
  const users: readonly string[] = expected.users;
  await using tidemark = await startGateway({ standalone: false, users });
  const clients = new Map<string, Client>(users.map((user) => [user, httpClient(tidemark.url, user, user)]));
  const increments = new Map(users.map((user) => [user, { held: new Held(), since: "" }]));
  const syncAll = async () => {
    for (const [user, client] of clients) {
      const state = increments.get(user)!;
      const body = await client.sync(state.since === "" ? {} : { since: state.since });
      state.since = body.next_batch;
      state.held.apply(body);
    }
  };

  for (let at = 0; at < lines.length; at += LINES_AT_ONCE) {
    const sent: Promise<unknown>[] = [];
    for (const line of lines.slice(at, at + LINES_AT_ONCE)) {
      const { transaction, receipt } = JSON.parse(line);
      for (const { room_id: room, ...event } of transaction?.body.events ?? []) {
        sent.push(tidemark.bus.sent("event", room, event));
      }
      if (receipt !== undefined) sent.push(tidemark.bus.sent("receipt", receipt.room_id, withoutRoom(receipt)));
    }
    await Promise.all(sent);
    if (at % (5 * LINES_AT_ONCE) === 0) await syncAll();
  }
  // The last deltas are a flush away.
  for (let quiet = 0; quiet < 3; quiet++) {
    await syncAll();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }

  let compared = 0;
  let exact = 0;
  for (const [user, client] of clients) {
    const whole = new Held();
    const body = await client.sync();
    whole.apply(body);
    for (const [way, held] of [
      ["at once", whole],
      ["by increments", increments.get(user)!.held],
    ] as const) {
      for (const {
        room_id: room,
        receipt_type: type,
        user_id: owner,
        thread_id: thread,
        event_id: event,
      } of expected.receipts) {
        if (!(room in body.rooms.join) || (type === "m.read.private" && owner !== user)) continue;
        const key = `${room} ${type} ${owner} `;
        const unthreaded = held.markers.get(key);
        const shown = held.markers.get(key + (thread ?? ""));
        const order = whole.markers.get(key + (thread ?? ""))?.order ?? 0;
        // A threaded receipt has no place beside an unthreaded one on its event, and is covered by that for ever (MSC4102).
        const covered = thread !== null && (unthreaded?.event === event || (unthreaded?.order ?? 0) > order);
        assert.ok(shown?.event === event || covered, `${way}, ${user}: ${key} ${thread}`);
        if (shown?.event === event) exact++;
        compared++;
      }
      const others = [...held.markers.keys()].filter((key) => key.includes(" m.read.private ") && !key.includes(user));
      assert.equal(others, [], "no private receipt of others");
      for (const { room_id: room, user_id: owner, content } of expected.fully_read) {
        if (owner !== user || !(room in body.rooms.join)) continue;
        assert.is(held.fullyRead.get(room), content.event_id, `${way}, ${user}: fully read in ${room}`);
        compared++;
      }
    }
  }
  assert.ok(compared > 1_000, `${compared} were compared`);
  assert.ok(exact > compared * 0.9, `${exact} of them are shown as themselves`);
});

session.run();

function withoutRoom({ room_id: _, ...receipt }: Body): Body {
  return receipt;
}
