/**
 * A worker that was paused past its lease goes on: it publishes again, on the same subjects, what the owner after it has published
 * long ago (docs/design.md#when-things-fail, E2). Clients must not notice.
 */
import { headers, type MsgHdrs } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BOB, CAROL, type Client, enc, type GatewayHarness, startGateway, syncUntil } from "../support/gateway.ts";
import { type Body, decoded, LIMIT_MS, pack } from "../support/harness.ts";

interface Published {
  readonly subject: string;
  readonly body: Body;
  readonly headers: MsgHdrs | undefined;
}

/** Records what is published from now on. */
function record({ bus }: GatewayHarness): Published[] {
  const published: Published[] = [];
  for (const subject of ["tidemark.client.>", "tidemark.user.>"]) {
    bus.nc.subscribe(subject, {
      callback: (_, message) =>
        published.push({ subject: message.subject, body: decoded(message.data), headers: message.headers }),
    });
  }
  return published;
}

/** Publishes as a worker does, but for the id by which the broker would drop a repetition. */
async function publish({ bus }: GatewayHarness, messages: readonly Published[]): Promise<void> {
  for (const { subject, body, headers: had } of messages) {
    const kept = headers();
    for (const [name, values] of had ?? []) {
      if (name !== "Nats-Msg-Id") for (const value of values) kept.append(name, value);
    }
    await bus.nc.jetstream().publish(subject, pack(body), { headers: kept, timeout: LIMIT_MS });
  }
}

/** The same events, each in a message of its own: another worker gathers differently. */
function regrouped(messages: readonly Published[]): Published[] {
  return messages.flatMap((message) => {
    const { body } = message;
    if (!(body.events?.length > 1)) return message;
    return body.events.map((event: Body, i: number) => ({
      ...message,
      body: { ...body, events: [event], position: body.position - (body.events.length - 1 - i) },
    }));
  });
}

/** A client that applies every answer, and what no answer may do. */
class Reader {
  readonly events: string[] = [];
  /** By user, type and thread: the order. */
  readonly markers = new Map<string, number>();
  fullyRead: string | undefined;
  unread: number | undefined;
  since = "";
  readonly #client: Client;
  readonly #room: string;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
  }

  /** Asks until the client has an event. `waiting`: an answer that it waits for already. */
  async reads(event: string, waiting = this.ask(0)): Promise<void> {
    this.apply(await waiting);
    if (this.events.includes(event)) return;
    const { all } = await syncUntil(this.#client, this.since, says(this.#room, event));
    for (const body of all) this.apply(body);
  }

  ask(timeout: number): Promise<Body> {
    return this.#client.sync({ ...(this.since !== "" && { since: this.since }), timeout });
  }

  apply(body: Body): void {
    this.since = body.next_batch;
    const section = body.rooms.join[this.#room];
    if (section === undefined) return;
    for (const { event_id: id } of section.timeline.events) {
      assert.not.ok(this.events.includes(id), `${id} is shown twice`);
      this.events.push(id);
    }
    for (const { content } of section.account_data.events) this.fullyRead = content.event_id;
    for (const types of Object.values<Body>(section.ephemeral.events[0]?.content ?? {})) {
      for (const [type, users] of Object.entries<Body>(types)) {
        for (const [user, { order, thread_id: thread = "" }] of Object.entries<Body>(users)) {
          const key = `${user} ${type} ${thread}`;
          assert.ok(order >= (this.markers.get(key) ?? order), `${key} is taken back to ${order}`);
          this.markers.set(key, order);
        }
      }
    }
    this.unread = section.unread_notifications?.notification_count ?? this.unread;
  }
}

const says =
  (room: string, event: string) =>
  ({ rooms }: Body) =>
    rooms.join[room]?.timeline.events.some(({ event_id }: Body) => event_id === event);

const paused = suite("a paused worker that goes on");

paused("takes no marker back and shows no event twice, on no gateway and with no token", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bob2 } = tidemark;
  const published = record(tidemark);
  const room = await tidemark.room(alice, bob);
  const readers = [alice, bob, bob2].map((client) => new Reader(client, room));
  const root = await alice.say(room, "root");
  const replies = [await alice.say(room, "1", root), await alice.say(room, "2", root)];
  const old = await alice.say(room, "old");
  for (const reader of readers) await reader.reads(old);
  const early = readers[2]!.since;
  for (const [event, more] of [
    [root, {}],
    [replies[0]!, { thread_id: root }],
    [old, {}],
    [replies[1]!, { thread_id: root }],
  ] as const) {
    await bob.read(room, event, more);
    await bob.read(room, event, more, "m.read.private");
  }
  for (const event of [root, old]) await bob.post(`/v3/rooms/${enc(room)}/read_markers`, { "m.fully_read": event });
  const last = await alice.say(room, "last");
  for (const reader of readers) await reader.reads(last);
  const before = readers.map(({ markers }) => new Map(markers));

  const waiting = readers.map((reader) => reader.ask(60_000));
  const repeated = [...published];
  await publish(tidemark, repeated);
  await publish(tidemark, regrouped(repeated));
  const fresh = await alice.say(room, "fresh");
  for (const [i, reader] of readers.entries()) {
    await reader.reads(fresh, waiting[i]);
    assert.is(reader.events.at(-1), fresh, "nothing comes after it");
    assert.equal(reader.markers, before[i]);
  }
  const [, , { markers }] = readers as [Reader, Reader, Reader];

  const { httpUrl } = await tidemark.another();
  for (const [url, since] of [
    [tidemark.url, early],
    [httpUrl, early],
    [httpUrl, ""],
  ] as const) {
    const reader = new Reader(tidemark.client("bob-2", url), room);
    reader.since = since;
    await reader.reads(fresh);
    assert.is(reader.fullyRead, old);
    assert.is(reader.unread, 2, "what came after his receipt");
    for (const [marker, order] of reader.markers) assert.is(order, markers.get(marker), marker);
  }
});

paused("lets nobody in again who has left, and puts nobody out who has come back", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const published = record(tidemark);
  const room = await tidemark.room(alice, bob, carol);
  await carol.post(`/v3/rooms/${enc(room)}/leave`, {});
  await alice.say(room, "without Carol");
  await carol.post(`/v3/join/${enc(room)}`, {});
  await bob.post(`/v3/rooms/${enc(room)}/leave`, {});
  const mark = await alice.say(room, "without Bob");
  const { next_batch: since } = await carol.sync();
  const { next_batch: out } = await bob.sync();
  const repeated = [...published];
  await publish(tidemark, repeated);
  await publish(tidemark, regrouped(repeated));
  const secret = await alice.say(room, "secret");
  const { all } = await syncUntil(carol, since, says(room, secret));
  for (const { rooms } of all) assert.not.ok(rooms.leave[room]);
  const { httpUrl } = await tidemark.another();
  for (const url of [tidemark.url, httpUrl]) {
    const inside = await tidemark.client("carol-1", url).sync();
    assert.ok(says(room, secret)(inside), CAROL);
    const left = tidemark.client("bob-1", url);
    for (const body of [await left.sync(), await left.sync({ since: out, timeout: 50 })]) {
      assert.equal(Object.keys(body.rooms.join), [], BOB);
      assert.not.match(JSON.stringify(body), /secret/);
    }
    assert.is((await left.ask("GET", `/v3/rooms/${enc(room)}/event/${enc(secret)}`)).status, 404);
    assert.is((await left.ask("GET", `/v3/rooms/${enc(room)}/event/${enc(mark)}`)).status, 404);
  }
});

paused.run();
