/** Receipts that are published for other servers, on a real broker (docs/design.md#what-is-published). */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { linesOf, member, message, OWN, read, startFederation } from "../support/federation.ts";
import { type Body, eventually, startBus } from "../support/harness.ts";

const ROOM = "!room:here.example";
const A = "@a:here.example";
const there = "tidemark.federation.1.there%2Eexample";

const edusOf = (messages: readonly { readonly body: Body }[]) => messages.map(({ body }) => body.edu);

const federationOut = suite("outgoing federation");

federationOut(
  "sends a local user's receipt on a new event at once to the servers of joined members, without its order",
  async () => {
    await using tidemark = await startFederation({ federation: { windowMs: 60_000 } });
    const all = tidemark.subscribe("tidemark.federation.>");
    await tidemark.sent("state", ROOM, [member(A), member("@b:there.example"), member("@c:else.example:8448")]);
    await tidemark.sent("event", ROOM, [message("$1"), message("$2", A, "$1")]);
    await tidemark.sent("receipt", ROOM, read(A, "$2", { thread_id: "$1", ts: 7 }));
    await all.next((_, subject) => subject === "tidemark.federation.2.else%2Eexample:8448");
    const { body } = await all.next((_, subject) => subject === there);
    assert.equal(body, {
      v: 1,
      destination: "there.example",
      edu: {
        edu_type: "m.receipt",
        content: { [ROOM]: { "m.read": { [A]: { event_ids: ["$2"], data: { ts: 7, thread_id: "$1" } } } } },
      },
    });
  },
);

federationOut("sends no private receipts, and no receipts of other servers' users", async () => {
  await using tidemark = await startFederation({ federation: { windowMs: 50 } });
  const all = tidemark.subscribe("tidemark.federation.>");
  await tidemark.sent("state", ROOM, [member(A), member("@b:there.example"), member("@c:else.example")]);
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, [
    read(A, "$1", { receipt_type: "m.read.private" }),
    read(A, "$1", { receipt_type: "m.fully_read" }),
    read(A, "$1", { thread_known: false }),
  ]);
  const client = tidemark.subscribe(`tidemark.client.*.*.receipts`);
  const edu = { [ROOM]: { "m.read": { "@b:there.example": { event_ids: ["$1"], data: { ts: 1 } } } } };
  assert.is((await tidemark.send("edu", "there.example", edu)).accepted, 1);
  await client.next((body) => body.event.content.$1?.["m.read"]["@b:there.example"] !== undefined);
  await tidemark.sent("receipt", ROOM, read("@last:here.example", "$1"));
  await all.next((_, subject) => subject === there);
  assert.equal(linesOf(edusOf(all.messages.filter(({ subject }) => subject === there))), [
    `${ROOM} @last:here.example - → $1`,
  ]);
});

federationOut("batches what waits for the window, over rooms and users", async () => {
  await using tidemark = await startFederation({ federation: { windowMs: 60_000 } });
  const inbox = tidemark.subscribe(there);
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const rooms = ["!r1:here.example", "!r2:here.example", "!r3:here.example"];
  const members = Array.from({ length: 10 }, (_, i) => member(`@x:s${i}.example`));
  for (const room of rooms) {
    await tidemark.sent("state", room, [...members, member("@b:there.example")]);
    await tidemark.sent("event", room, [message("$1"), message("$2")]);
    await tidemark.sent("receipt", room, [read(A, "$1"), read("@c:here.example", "$1"), read(A, "$2")]);
    await client.next((body) => body.room_id === room && body.event.content.$2 !== undefined);
  }
  assert.is(inbox.messages.length, 0);
  await tidemark.restart(); // a process that stops doesn't wait for the window
  assert.equal(
    linesOf(edusOf(inbox.messages)).sort(),
    rooms.flatMap((room) => [`${room} ${A} - → $2`, `${room} @c:here.example - → $1`]),
  );
  assert.ok(inbox.messages.length <= 2, "one EDU per partition");
});

federationOut("loses nothing when a process is killed before its window ends", async () => {
  await using bus = await startBus();
  const data = join(bus.dir, "data");
  const options = ["--nats", bus.url, "--data", data, "--server-name", OWN, "--checkpoint-ms", "50"];
  const start = () => runCli(["start", ...options, "--federation-window", "60000"]);
  const inbox = bus.subscribe(there);
  {
    await using killed = start();
    await killed.ready;
    const members = Array.from({ length: 10 }, (_, i) => member(`@x:s${i}.example`));
    await bus.sent("state", ROOM, [...members, member("@b:there.example")]);
    await bus.sent("event", ROOM, message("$1"));
    const client = bus.subscribe("tidemark.client.*.*.receipts");
    await bus.sent("receipt", ROOM, read(A, "$1"));
    await client.next();
    await bus.sent("event", ROOM, message("$2"));
    await bus.sent("receipt", ROOM, read("@c:here.example", "$2"));
    await client.next((body) => body.event.content.$2 !== undefined);
    killed.kill("SIGKILL");
    await killed.ended;
  }
  assert.is(inbox.messages.length, 0);
  await using again = start();
  await again.ready;
  again.kill("SIGTERM");
  assert.is(await again.ended, 0);
  await inbox.next();
  assert.equal(linesOf(edusOf(inbox.messages)).sort(), [`${ROOM} ${A} - → $1`, `${ROOM} @c:here.example - → $2`]);
});

federationOut("sends every receipt of a large room, in at most two EDUs per destination and second", async () => {
  await using tidemark = await startFederation();
  const inbox = tidemark.subscribe(there);
  const members = Array.from({ length: 49 }, (_, i) => member(`@x:s${i}.example`));
  await tidemark.sent("state", ROOM, [...members, member("@b:there.example")]);
  const users = Array.from({ length: 1_000 }, (_, i) => `@user-${i}:here.example`);
  const started = performance.now();
  let last = "";
  for (let second = 0; second < 3; second++) {
    last = `$${"e".repeat(42)}${second}`;
    await tidemark.sent("event", ROOM, message(last));
    for (let tenth = 0; tenth < 10; tenth++) {
      const some = users.slice(tenth * 100, tenth * 100 + 100);
      await tidemark.sent(
        "receipt",
        ROOM,
        some.map((user) => read(user, last, { ts: 1_700_000_000_000 })),
      );
      await eventually(() => performance.now() - started >= second * 1_000 + tenth * 100, "the next tenth");
    }
  }
  const known = () => {
    const markers = new Map(linesOf(edusOf(inbox.messages)).map((line) => line.split(" → ") as [string, string]));
    return users.filter((user) => markers.get(`${ROOM} ${user} -`) === last).length;
  };
  await eventually(() => known() === users.length, "every user's last receipt");
  const seconds = (performance.now() - started) / 1_000;
  assert.ok(inbox.messages.length <= 2 * Math.ceil(seconds), `${inbox.messages.length} EDUs in ${seconds} s`);
});

federationOut.run();
