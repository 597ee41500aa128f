/** The inspector's page: explanations, and following a room. */
import type { Page } from "playwright-core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { message, receipt } from "../support/harness.ts";
import { drawn, explainOldestUnread, now, rows, startPage, textOf } from "../support/inspector-page.ts";
import { playSession, ROOMS } from "../support/recorded.ts";

const ROOM = ROOMS[0];
const HASH = `#room=${encodeURIComponent(ROOM)}`;
const HEIDI = "@heidi-s11:bench.test";
const BOB = "@bob-s11:bench.test";

async function ask(page: Page, user: string, event: string): Promise<string> {
  const why = page.locator('section[aria-label="Why"]');
  await why.getByLabel("User").fill(user);
  await why.getByLabel("Event").fill(event);
  await why.getByRole("button", { name: "Why?" }).click();
  await page.waitForURL((url) => url.hash.includes(encodeURIComponent(event)));
  await why.locator(".verdict").waitFor();
  return await textOf(why.locator("[aria-live]"));
}

const page = suite("inspector page");

page("explains a read event, an unread one, and one that a held receipt waits for", async () => {
  await using harness = await startPage();
  await playSession(harness.tidemark);
  const page = await harness.open({}, HASH);
  await drawn(page);
  await explainOldestUnread(page, "@heidi-s11");
  const why = page.locator('section[aria-label="Why"]');
  await why.locator(".verdict.unread").waitFor();
  assert.match(await textOf(why.locator(".verdict")), /^Unread: no marker of @heidi-s11:bench\.test/);
  assert.match(await textOf(why), /The unthreaded m\.read marker is at \$/);

  await page.locator(".legend").getByRole("button", { name: "@bob-s11" }).click();
  const marker = rows(page, "Markers").filter({ hasText: "@bob" }).filter({ hasText: "m.read, unthreaded" });
  const event = (await marker.getByRole("button").getAttribute("title"))!.slice("why ".length, -1);
  assert.match(
    await ask(page, BOB, event),
    /^Read: the .* marker.* reached it at position \d+, and (\d+) ≥ \1 \(F12\)\./,
  );
  await why.locator(".led button").last().click();
  await now(page)
    .filter({ hasText: /advanced|released/ })
    .waitFor();

  await page.goto(`${harness.tidemark.httpUrl}/inspect/${HASH}`);
  await page.reload();
  await drawn(page);
  const held = page.locator('section[aria-label="Held receipts"] tbody tr', { hasText: "@bob" }).first();
  const unknown = (await held.locator("td").nth(1).getAttribute("title"))!;
  assert.match(
    await ask(page, BOB, unknown),
    /^Neither read nor unread: the log has no such event at this point\. ?The m\.read.* waits for it, and is judged when it comes/,
  );
  assert.equal(harness.complaints, []);
});

page("follows a room: a receipt that is held, and the event that releases it", async () => {
  await using harness = await startPage();
  const { tidemark } = harness;
  await playSession(tidemark);
  const page = await harness.open({}, HASH);
  await drawn(page);
  await page.getByLabel("Follow live").check();
  await tidemark.sent("receipt", ROOM, receipt(HEIDI, "$live"));
  await page.locator('section[aria-label="Held receipts"]', { hasText: "$live" }).waitFor();
  await now(page).filter({ hasText: "entry 959 of 959" }).waitFor();
  await tidemark.sent("event", ROOM, message("$live", { sender: BOB }));
  await rows(page, "Entries").last().filter({ hasText: "released" }).waitFor();
  await rows(page, "Unread").filter({ hasText: "@heidi" }).filter({ hasText: "0" }).waitFor();
  assert.not.match(await textOf(page.locator('section[aria-label="Held receipts"]')), "\\$live");
  assert.equal(harness.complaints, []);
});

page.run();
