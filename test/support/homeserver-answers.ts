/**
 * A room of which a homeserver can be asked everything that the proxy annotates (docs/design.md#the-proxy), and the requests.
 */
import { type Account, type LiveSynapse, matrix } from "./live-synapse.ts";

export interface AnswerRequest {
  readonly kind: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
}

export interface FilledRoom {
  readonly id: string;
  readonly version: string;
  /** Who sent most of it. */
  readonly alice: Account;
  /** Who is asked for. */
  readonly bob: Account;
  /** Bob's `since` before the last events and receipts. */
  readonly since: string;
  readonly threadRoot: string;
  readonly edited: string;
  readonly redacted: string;
  /** Another room to which Bob is invited. */
  readonly invitation: string;
}

const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;

/** Types and keys that a proxy may break: a slash, a percent sign, spaces, no ASCII. */
const STATE_TYPE = "org.example/with slash";
const STATE_KEY = "a/b%2Fc ü";

let transactions = 0;

/** Fills a room of this version with events and receipts of every shape. */
export async function fillRoom(synapse: LiveSynapse, version: string): Promise<FilledRoom> {
  const alice = await synapse.register(`alice-v${version}`);
  const bob = await synapse.register(`bob-v${version}`);
  const ask = ({ token }: Account, method: string, path: string, body?: unknown) =>
    matrix(synapse.url, token, method, V3 + path, body);
  const { room_id: id } = await ask(alice, "POST", "/createRoom", {
    room_version: version,
    preset: "public_chat",
    name: `Room of version ${version}`,
    invite: [bob.user],
  });
  await ask(bob, "POST", `/join/${enc(id)}`, {});
  const send = async (from: Account, content: Record<string, unknown>, type = "m.room.message"): Promise<string> => {
    const { event_id: event } = await ask(
      from,
      "PUT",
      `/rooms/${enc(id)}/send/${enc(type)}/t${transactions++}`,
      content,
    );
    return event;
  };
  const say = (from: Account, body: string, more: Record<string, unknown> = {}) =>
    send(from, { msgtype: "m.text", body, ...more });
  const inThread = (root: string) => ({ "m.relates_to": { rel_type: "m.thread", event_id: root } });
  const receipt = (from: Account, event: string, type: string, thread?: string) =>
    ask(
      from,
      "POST",
      `/rooms/${enc(id)}/receipt/${type}/${enc(event)}`,
      thread === undefined ? {} : { thread_id: thread },
    );

  await ask(alice, "PUT", `/rooms/${enc(id)}/state/${enc(STATE_TYPE)}/${enc(STATE_KEY)}`, {
    order: 1,
    note: 'quote "',
  });
  const first = await say(alice, "findme: first");
  const threadRoot = await say(bob, "a root");
  const inside = await say(alice, "in the thread", inThread(threadRoot));
  // Looks like an event and like an order, and is neither.
  await send(
    alice,
    {
      event_id: "$not:an.event",
      type: "m.room.message",
      sender: "@mallory:a.org",
      content: {},
      unsigned: { order: 1 },
      big: 9007199254740991,
    },
    "org.example.order",
  );
  const edited = await say(alice, "before the edit ✎ \u2028 </script>");
  await say(alice, "* after", {
    "m.new_content": { msgtype: "m.text", body: "after" },
    "m.relates_to": { rel_type: "m.replace", event_id: edited },
  });
  await send(bob, { "m.relates_to": { rel_type: "m.annotation", event_id: edited, key: "👍️" } }, "m.reaction");
  const redacted = await say(bob, "a mistake");
  await ask(alice, "PUT", `/rooms/${enc(id)}/redact/${enc(redacted)}/r${transactions++}`, { reason: "it is one" });
  await receipt(bob, first, "m.read");
  await ask(bob, "POST", `/rooms/${enc(id)}/read_markers`, { "m.fully_read": first });
  const { next_batch: since } = await ask(bob, "GET", "/sync?timeout=0&set_presence=offline");

  await say(alice, `findme: hello ${bob.user}`, { "m.mentions": { user_ids: [bob.user] } });
  await say(bob, "a reply in the thread", inThread(threadRoot));
  const last = await say(alice, "another one", inThread(threadRoot));
  await ask(alice, "PUT", `/rooms/${enc(id)}/state/m.room.topic/`, { topic: "orders" });
  await receipt(bob, inside, "m.read", threadRoot);
  await receipt(bob, edited, "m.read.private", "main");
  await receipt(alice, last, "m.read");
  await ask(alice, "PUT", `/sendToDevice/org.example.note/t${transactions++}`, {
    messages: { [bob.user]: { "*": { event_id: "$to:device", order: 1 } } },
  });
  await ask(bob, "PUT", `/user/${enc(bob.user)}/rooms/${enc(id)}/account_data/org.example.note`, { order: 1 });
  const { room_id: invitation } = await ask(alice, "POST", "/createRoom", {
    room_version: version,
    name: "Another room",
    invite: [bob.user],
  });
  return { id, version, alice, bob, since, threadRoot, edited, redacted, invitation };
}

/** What is asked as Bob: every kind of answer that has orders. */
export function answerRequests({ id, bob, since, threadRoot, edited, redacted }: FilledRoom): AnswerRequest[] {
  const inRoom = `${V3}/rooms/${enc(id)}`;
  const get = (kind: string, path: string): AnswerRequest => ({ kind, method: "GET", path });
  const quiet = "timeout=0&set_presence=offline";
  const filter = enc(JSON.stringify({ room: { timeline: { limit: 100 }, state: { lazy_load_members: true } } }));
  const threads = enc(JSON.stringify({ room: { timeline: { limit: 50, unread_thread_notifications: true } } }));
  return [
    get("first sync", `${V3}/sync?${quiet}&filter=${filter}`),
    get("sync of r0 with all state", `/_matrix/client/r0/sync?${quiet}&full_state=true&since=${since}`),
    get("sync", `${V3}/sync?${quiet}&since=${since}`),
    get("sync with unread threads", `${V3}/sync?${quiet}&since=${since}&filter=${threads}`),
    {
      kind: "sliding sync",
      method: "POST",
      path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0&set_presence=offline",
      body: {
        lists: {
          all: {
            ranges: [[0, 9]],
            timeline_limit: 20,
            required_state: [
              ["*", "*"],
              ["m.room.member", "$LAZY"],
            ],
          },
        },
        extensions: {
          receipts: { enabled: true },
          account_data: { enabled: true },
          to_device: { enabled: true },
          typing: { enabled: true },
        },
      },
    },
    get("messages backwards", `${inRoom}/messages?dir=b&limit=100`),
    get("messages forwards", `/_matrix/client/r0/rooms/${enc(id)}/messages?dir=f&limit=7`),
    get("messages with lazy members", `${inRoom}/messages?dir=b&limit=5&filter=${enc('{"lazy_load_members":true}')}`),
    get("context", `${inRoom}/context/${enc(edited)}?limit=10`),
    get("event", `${inRoom}/event/${enc(edited)}`),
    get("event with a thread", `${inRoom}/event/${enc(threadRoot)}`),
    get("redacted event", `${inRoom}/event/${enc(redacted)}`),
    get("relations", `/_matrix/client/v1/rooms/${enc(id)}/relations/${enc(edited)}`),
    get("relations of a thread", `/_matrix/client/v1/rooms/${enc(id)}/relations/${enc(threadRoot)}/m.thread?limit=50`),
    get(
      "relations by type",
      `/_matrix/client/v1/rooms/${enc(id)}/relations/${enc(edited)}/m.annotation/m.reaction?limit=50`,
    ),
    get("threads", `/_matrix/client/v1/rooms/${enc(id)}/threads?include=all`),
    {
      kind: "search",
      method: "POST",
      path: `${V3}/search`,
      body: {
        search_categories: {
          room_events: {
            search_term: "findme",
            filter: { rooms: [id] },
            event_context: { before_limit: 2, after_limit: 2, include_profile: true },
            include_state: true,
          },
        },
      },
    },
    get("state", `${inRoom}/state`),
    get("state event", `${inRoom}/state/${enc(STATE_TYPE)}/${enc(STATE_KEY)}?format=event`),
    get("state content", `${inRoom}/state/${enc(STATE_TYPE)}/${enc(STATE_KEY)}`),
    get("state event without a key", `${inRoom}/state/m.room.topic?format=event`),
    get("members", `${inRoom}/members`),
    get("members at a time", `${inRoom}/members?at=${since}&not_membership=leave`),
    get("notifications", `${V3}/notifications?limit=20`),
    get("first sync of old", `${V3}/initialSync?limit=10`),
    get("first sync of old in a room", `${inRoom}/initialSync?limit=10`),
    get("events of old", `/_matrix/client/api/v1/events?from=${since}&timeout=0`),
    get("account data", `${V3}/user/${enc(bob.user)}/rooms/${enc(id)}/account_data/org.example.note`),
    get("unknown event", `${inRoom}/event/${enc("$nothing:synapse.test")}`),
    get("forbidden", `${V3}/rooms/${enc("!nowhere:synapse.test")}/messages?dir=b`),
  ];
}
