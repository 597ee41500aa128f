/**
 * A session that was recorded on a real homeserver, served through `/sync`, and compared with the homeserver's
 * database.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FLUSH_WINDOW_MS } from "../../src/limits.ts";
import { type Client, httpClient, startGateway } from "../support/gateway.ts";
import type { Body } from "../support/harness.ts";

const SESSION = join(import.meta.dirname, "../fixtures/synapse-session");
const LINES_AT_ONCE = 100;
/** After this many without news, a flush window apart, nothing more is expected. */
const QUIET_SYNCS = 20;

/** The state of a client: markers by `room type user thread`, and fully-read markers by room. */
class ClientState {
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

session("/sync gives the receipts and markers of the homeserver, in one response and incrementally", async () => {
  const lines = (await readFile(join(SESSION, "session.ndjson"), "utf8")).trim().split("\n");
  const expected: Body = JSON.parse(await readFile(join(SESSION, "expected.json"), "utf8"));
  const users: readonly string[] = expected.users;
  await using tidemark = await startGateway({ standalone: false, users });
  const clients = new Map<string, Client>(users.map((user) => [user, httpClient(tidemark.url, user, user)]));
  const increments = new Map(users.map((user) => [user, { client: new ClientState(), since: "" }]));
  /** Returns whether any response had news. */
  const syncAll = async () => {
    let hasNews = false;
    for (const [user, client] of clients) {
      const state = increments.get(user)!;
      const body = await client.sync(state.since === "" ? {} : { since: state.since });
      state.since = body.next_batch;
      state.client.apply(body);
      hasNews ||= Object.keys(body.rooms.join).length > 0;
    }
    return hasNews;
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
  // The last deltas are published with the next flush.
  for (let quiet = 0; quiet < QUIET_SYNCS; quiet++) {
    if (await syncAll()) quiet = 0;
    await new Promise((resolve) => setTimeout(resolve, FLUSH_WINDOW_MS));
  }

  let compared = 0;
  let exact = 0;
  for (const [user, client] of clients) {
    const whole = new ClientState();
    const body = await client.sync();
    whole.apply(body);
    for (const [way, state] of [
      ["in one response", whole],
      ["incrementally", increments.get(user)!.client],
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
        const unthreaded = state.markers.get(key);
        const shown = state.markers.get(key + (thread ?? ""));
        const order = whole.markers.get(key + (thread ?? ""))?.order ?? 0;
        // A threaded receipt is left out if an unthreaded one is on the same event (MSC4102), and stays covered by it.
        const covered = thread !== null && (unthreaded?.event === event || (unthreaded?.order ?? 0) > order);
        assert.ok(shown?.event === event || covered, `${way}, ${user}: ${key} ${thread}`);
        if (shown?.event === event) exact++;
        compared++;
      }
      const others = [...state.markers.keys()].filter((key) => key.includes(" m.read.private ") && !key.includes(user));
      assert.equal(others, [], "no private receipts of other users");
      for (const { room_id: room, user_id: owner, content } of expected.fully_read) {
        if (owner !== user || !(room in body.rooms.join)) continue;
        assert.is(state.fullyRead.get(room), content.event_id, `${way}, ${user}: fully read in ${room}`);
        compared++;
      }
    }
  }
  assert.ok(compared > 1_000, `${compared} were compared`);
  assert.ok(exact > compared * 0.9, `${exact} of them are sent exactly`);
});

session.run();

function withoutRoom({ room_id: _, ...receipt }: Body): Body {
  return receipt;
}
