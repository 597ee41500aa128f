/** Hydrogen (`hydrogen-view-sdk` from npm, unmodified) in Chromium, on another origin than the gateway. */
import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, startGateway } from "../support/gateway.ts";
import { type Body, eventually } from "../support/harness.ts";
import { openClientPage } from "./client-page.ts";

const SERVICE_WORKER = new URL("./sw.js", import.meta.resolve("hydrogen-view-sdk"));

const hydrogen = suite("Hydrogen");

hydrogen("logs in, shows counts, sends, and reads", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const { room_id: room } = await alice.post("/v3/createRoom", { preset: "public_chat", name: "Tide" });
  await bob.post(`/v3/join/${room}`, {});
  await alice.say(room, "before");
  await using client = await openClientPage("hydrogen.ts", await readFile(SERVICE_WORKER, "utf8"));
  const { page, lines } = client;
  const status = await page.evaluate(([url, password]) => window.hydrogen.logIn(url, "bob", password), [
    tidemark.url,
    bob.token,
  ] as const);
  assert.is(status, "Ready", lines.join("\n"));
  const shown = () => page.evaluate((id) => window.hydrogen.shown(id), room);
  await eventually(async () => (await shown())?.unread === 1, "one message is unread");
  assert.is((await shown())?.name, "Tide");
  const unnamed = await tidemark.room(alice, bob);
  const nameOf = () => page.evaluate((id) => window.hydrogen.shown(id)?.name, unnamed);
  await eventually(async () => (await nameOf()) === ALICE, "a room without a name is called by its hero");

  const last = await alice.say(room, "after");
  await eventually(async () => (await shown())?.unread === 2, "two messages are unread");
  const { next_batch: since } = await alice.sync();
  await page.evaluate((id) => window.hydrogen.read(id), room);
  await eventually(async () => (await shown())?.unread === 0, "everything is read");
  const { rooms } = await alice.sync({ since, timeout: 5_000 });
  assert.equal(
    rooms.join[room].ephemeral.events.flatMap(({ content }: Body) => Object.keys(content)),
    [last],
    "Alice sees the receipt",
  );

  await page.evaluate((id) => window.hydrogen.send(id, "from Hydrogen"), room);
  const newest = async () => (await alice.get(`/v3/rooms/${room}/messages?dir=b&limit=1`)).chunk[0];
  await eventually(async () => (await newest()).content.body === "from Hydrogen", "Alice sees what Bob sends");
  await eventually(async () => {
    const texts = await page.evaluate((id) => window.hydrogen.texts(id), room);
    return texts.join() === "before,after,from Hydrogen";
  }, "the timeline");
});

hydrogen.run();
