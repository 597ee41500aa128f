/** What a live Synapse answers, asked directly and through the proxy, in rooms of many versions. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eventually } from "../support/harness.ts";
import { type AnswerRequest, answerRequests, type FilledRoom, fillRoom } from "../support/homeserver-answers.ts";
import type { Account } from "../support/live-synapse.ts";
import { type ProxiedSynapse, startProxiedSynapse } from "../support/proxied-synapse.ts";
import { shownIn, withoutOrders } from "../support/shown-orders.ts";

const VERSIONS = ["1", "6", "10", "11", "12"];
/** An answer that always changes between two requests can't be compared. */
const ATTEMPTS_MAX = 20;
/** They differ between any two answers. */
const PASSING = new Set([
  "date",
  "content-length",
  "content-encoding",
  "connection",
  "keep-alive",
  "transfer-encoding",
]);

const WITHOUT_EVENTS = new Set(["state content", "account data", "unknown event", "forbidden"]);

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly text: string;
}

async function ask(url: string, { token }: Account, request: AnswerRequest): Promise<Answer> {
  const { method, path, body } = request;
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const headers = Object.fromEntries([...response.headers].filter(([name]) => !PASSING.has(name)));
  return { status: response.status, headers, text: await response.text() };
}

/** Without what changes with the time, and the number of a connection of sliding sync. */
function timeless({ text, ...answer }: Answer): Answer {
  return {
    ...answer,
    text: text.replace(/"(age|last_active_ago)":\d+/g, '"$1":0').replace(/"pos":"\d+\//g, '"pos":"'),
  };
}

/** The proxied answer, between two direct ones that are equal. */
async function askBothWays(
  { synapse, proxyUrl }: ProxiedSynapse,
  account: Account,
  request: AnswerRequest,
): Promise<{ readonly direct: Answer; readonly proxied: Answer }> {
  const directly = async () => timeless(await ask(synapse.url, account, request));
  let before = await directly();
  let at = 0;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const proxied = timeless(await ask(proxyUrl, account, request));
    const direct = await directly();
    if (direct.text === before.text) return { direct, proxied };
    at = [...direct.text].findIndex((char, i) => char !== before.text[i]);
    before = direct;
  }
  throw new Error(`${request.kind}: no two answers are equal; they differ at ${before.text.slice(at - 50, at + 50)}`);
}

/** The orders of all events, which count up along Synapse's own order of each room. */
async function expectedOrders({ synapse, proxyUrl }: ProxiedSynapse, room: FilledRoom): Promise<Map<string, number>> {
  const orders = new Map<string, number>();
  for (const id of [room.id, room.invitation]) {
    const rows = await synapse.rows(
      `SELECT event_id FROM events WHERE room_id = '${id}' AND NOT outlier ORDER BY stream_ordering`,
    );
    const newest = encodeURIComponent(rows.at(-1).event_id);
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(id)}/event/${newest}`;
    let last: number | undefined;
    await eventually(async () => {
      const { text } = await ask(proxyUrl, room.alice, { kind: "newest event", method: "GET", path });
      last = JSON.parse(text).unsigned.order;
      return last !== undefined;
    }, `all of ${id} is pushed`);
    for (const [n, { event_id: event }] of rows.entries()) orders.set(event, last! - rows.length + 1 + n);
  }
  return orders;
}

const answers = suite("answers of a live Synapse");

answers("are the same through the proxy but for orders, in rooms of every version", async () => {
  await using proxied = await startProxiedSynapse();
  for (const version of VERSIONS) {
    const room = await fillRoom(proxied.synapse, version);
    const orders = await expectedOrders(proxied, room);
    for (const request of answerRequests(room)) {
      const name = `${request.kind}, version ${version}`;
      const { direct, proxied: ordered } = await askBothWays(proxied, room.bob, request);
      assert.is(ordered.status, direct.status, name);
      assert.equal(ordered.headers, direct.headers, name);
      assert.is(withoutOrders(ordered.text), direct.text, name);
      const shown = shownIn(JSON.parse(ordered.text));
      assert.is(shown.length > 0, !WITHOUT_EVENTS.has(request.kind), name);
      for (const { kind, event, orders: found } of shown) {
        assert.equal(found, [orders.get(event), orders.get(event)], `${name}: ${kind} ${event}`);
      }
    }
  }
});

answers.run();
