/** The newest `matrix-js-sdk` from npm, unmodified, in Chromium: from the login with a password to threads and counts. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, enc, startChat } from "../support/gateway.ts";
import { type Body, eventually } from "../support/harness.ts";
import { openClientPage } from "./client-page.ts";

/** What it asks for, does without, and doesn't ask for again: calls over another server. */
const DONE_WITHOUT = /\/rtc\/transports 404$/;

const newest = suite("newest matrix-js-sdk");

newest("logs in, shows counts, sends, reads, and lists threads", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const root = await alice.say(room, "root");
  const reply = await alice.say(room, "in the thread", root);
  const hello = await alice.say(room, "helo");
  await alice.put(`/v3/rooms/${enc(room)}/send/m.room.message/edit`, {
    msgtype: "m.text",
    body: "* hello",
    "m.new_content": { msgtype: "m.text", body: "hello" },
    "m.relates_to": { rel_type: "m.replace", event_id: hello },
  });
  await using client = await openClientPage("newest-js-sdk.ts");
  const { page } = client;
  await page.evaluate(([url, password]) => window.newestSdk.logIn(url, "bob", password), [
    tidemark.url,
    bob.token,
  ] as const);
  const unread = (thread?: string) =>
    page.evaluate(([room, thread]) => window.newestSdk.unread(room, thread), [room, thread] as const);
  const read = (event: string, thread?: string) =>
    page.evaluate(([room, event, thread]) => window.newestSdk.read(room, event, thread), [
      room,
      event,
      thread,
    ] as const);
  await eventually(
    async () => (await unread()) === 2 && (await unread(root)) === 1,
    "main timeline and thread are unread",
  );
  assert.is(await page.evaluate((id) => window.newestSdk.name(id), room), ALICE, "a room without a name is its hero's");
  assert.is(await page.evaluate(() => window.newestSdk.hasPushRules()), true);
  const shown = () => page.evaluate(([room, event]) => window.newestSdk.shown(room, event), [room, hello] as const);
  await eventually(async () => (await shown()).join() === "hello,true", "the edit is shown");

  const { next_batch: since } = await alice.sync();
  await read(hello);
  await eventually(async () => (await unread()) === 0 && (await unread(root)) === 1, "the main timeline is read");
  const { rooms } = await alice.sync({ since, timeout: 10_000 });
  const receipts: Body[] = rooms.join[room].ephemeral.events.map(
    ({ content }: Body) => content[hello]?.["m.read"][BOB],
  );
  assert.equal(
    receipts.map(({ thread_id: thread }) => thread),
    ["main"],
    "Alice sees what Bob has read",
  );
  const threads = () => page.evaluate((id) => window.newestSdk.threads(id), room);
  assert.equal(await threads(), [[root, 1]]);
  await eventually(
    async () =>
      read(reply, root).then(
        () => true,
        () => false,
      ),
    "the thread is loaded",
  );
  await eventually(async () => (await unread(root)) === 0, "the thread is read");

  const sent = await page.evaluate((id) => window.newestSdk.send(id, "from Bob"), room);
  const { chunk } = await alice.get(`/v3/rooms/${room}/messages?dir=b&limit=1`);
  assert.equal([chunk[0].event_id, chunk[0].sender], [sent, BOB]);
  await alice.read(room, sent);
  const readUpTo = () =>
    page.evaluate(([room, user]) => window.newestSdk.readUpTo(room, user), [room, alice.user] as const);
  await eventually(async () => (await readUpTo()) === sent, "Bob sees Alice's receipt");
  const refused = await page.evaluate(() => window.newestSdk.refused());
  assert.equal(
    refused.filter((line) => !DONE_WITHOUT.test(line)),
    [],
    "everything else that it asks for is there",
  );
});

newest.run();
