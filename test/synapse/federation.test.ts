/** Two Synapses that federate, one of them behind Tidemark. */
import { isDeepStrictEqual } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../src/frontend/frontend.ts";
import { type Body, eventually } from "../support/harness.ts";
import { type Account, matrix, startSynapse } from "../support/live-synapse.ts";
import { startProxiedSynapse } from "../support/proxied-synapse.ts";
import { freePort } from "../support/scripted-homeserver.ts";

const MESSAGES = 150;
const PAGE = 50;
const LIMIT_MS = 180_000;
const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;

const federation = suite("a room of another Synapse");

federation("has orders of its history, its state and its new events, once a local user has joined it", async () => {
  await using there = await startSynapse({ federationPort: await freePort() });
  await using here = await startProxiedSynapse({ federationPort: await freePort() });
  const bob = await there.register("bob");
  const ask = (url: string, { token }: Account, method: string, path: string, body?: unknown): Promise<Body> =>
    matrix(url, token, method, V3 + path, body);
  const body = { preset: "public_chat", room_version: "11", room_alias_name: "harbour" };
  const { room_id: room } = await ask(there.url, bob, "POST", "/createRoom", body);
  let transactions = 0;
  const say = async (text: string): Promise<string> => {
    const path = `/rooms/${enc(room)}/send/m.room.message/t${transactions++}`;
    return (await ask(there.url, bob, "PUT", path, { msgtype: "m.text", body: text })).event_id;
  };
  const old: string[] = [];
  for (let n = 0; n < MESSAGES; n++) old.push(await say(`before ${n}`));

  const alice = await here.synapse.register("alice");
  const { proxyUrl: url } = here;
  await ask(url, alice, "POST", `/join/${enc(`#harbour:${there.serverName}`)}`, {});
  /** The orders of the whole room, by event, oldest first, as Alice's client gets them. */
  const history = async (): Promise<[event: string, order: number | undefined][]> => {
    const found: [string, number | undefined][] = [];
    for (let from = ""; ; ) {
      const page = await ask(url, alice, "GET", `/rooms/${enc(room)}/messages?dir=b&limit=${PAGE}${from}`);
      for (const { event_id: id, unsigned } of page.chunk) found.unshift([id, unsigned?.order]);
      if (page.end === undefined) return found;
      from = `&from=${enc(page.end)}`;
    }
  };
  let events: [event: string, order: number | undefined][] = [];
  const isImported = async () => {
    events = await history();
    return events.length > MESSAGES && events.every(([, order]) => order !== undefined);
  };
  await eventually(isImported, "all history has orders", LIMIT_MS).catch((error) => {
    const without = events.filter(([, order]) => order === undefined).length;
    throw new Error(`${error.message}: ${without} of ${events.length} have none\n${here.tidemark.stderr.join("\n")}`);
  });
  const orders = events.map(([, order]) => order!);
  assert.equal(
    orders,
    orders.toSorted((a, b) => a - b),
    "orders follow the history",
  );
  const ids = events.map(([id]) => id);
  assert.equal(
    ids.filter((id) => old.includes(id)),
    old,
  );

  const state = await ask(url, alice, "GET", `/rooms/${enc(room)}/state`);
  assert.equal(
    state.filter(({ unsigned }: Body) => unsigned?.order === undefined).map(({ type }: Body) => type),
    [],
  );

  let { next_batch: since } = await ask(url, alice, "GET", "/sync?timeout=0");
  /** Follows Alice's `/sync` until it has something. */
  const synced = async <T>(what: string, find: (joined: Body) => T | undefined): Promise<T> => {
    let found: T | undefined;
    const hasCome = async () => {
      const answer = await ask(url, alice, "GET", `/sync?timeout=5000&since=${since}`);
      since = answer.next_batch;
      const joined = answer.rooms?.join?.[room];
      found = joined && find(joined);
      return found !== undefined;
    };
    await eventually(hasCome, what, LIMIT_MS);
    return found!;
  };
  const news = await say("after the join");
  const live = await synced<Body>("the event comes", ({ timeline }) =>
    timeline.events.find(({ event_id: id }: Body) => id === news),
  );
  assert.ok(live.unsigned.order > Math.max(...orders), "a new event comes after all history");

  await ask(there.url, bob, "POST", `/rooms/${enc(room)}/receipt/m.read/${enc(news)}`, {});
  const receipts = await synced<Body>(
    "the receipt comes",
    ({ ephemeral }) => ephemeral.events.find(({ type }: Body) => type === "m.receipt")?.content[news],
  );
  assert.is(receipts["m.read"][bob.user].order, live.unsigned.order);

  const changes = [
    { type: "m.room.topic", content: { topic: "while nobody was there" } },
    { type: "org.example.new", content: { state: "too" } },
  ];
  await ask(url, alice, "POST", `/rooms/${enc(room)}/leave`, {});
  const hasGone = async () => {
    const { joined } = await ask(there.url, bob, "GET", `/rooms/${enc(room)}/joined_members`);
    return joined[alice.user] === undefined;
  };
  await using tidemark = await connect({ nats: (await here.tidemark.ready).nats });
  await eventually(hasGone, "her leave has reached the other server", LIMIT_MS);
  for (const { type, content } of changes)
    await ask(there.url, bob, "PUT", `/rooms/${enc(room)}/state/${type}/`, content);
  await ask(url, alice, "POST", `/join/${enc(`#harbour:${there.serverName}`)}`, {});
  const hasChanged = async () => {
    const { events: known } = await tidemark.query(room, { op: "state", types: changes.map(({ type }) => type) });
    const contents = changes.map(({ type }) => known.find((event) => event.type === type)?.content);
    return isDeepStrictEqual(
      contents,
      changes.map(({ content }) => content),
    );
  };
  await eventually(hasChanged, "Tidemark has the state that was set while she was away", LIMIT_MS);
});

federation.run();
