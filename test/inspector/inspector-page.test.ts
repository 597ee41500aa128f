/** The inspector's page in a browser: list of rooms, navigation, filters. */
import type { Page } from "playwright-core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { drawn, now, rows, startPage, textOf } from "../support/inspector-page.ts";
import { playSession, ROOMS } from "../support/recorded.ts";

const ROOM = ROOMS[0];
const HASH = `#room=${encodeURIComponent(ROOM)}`;

async function position(page: Page): Promise<number> {
  return Number(await now(page).locator("strong").nth(1).textContent());
}

const page = suite("inspector page");

page("lists rooms with their summaries, and opens one", async () => {
  await using harness = await startPage();
  await playSession(harness.tidemark);
  const page = await harness.open();
  await page.locator('td[data-label="Held"]', { hasText: "17" }).waitFor();
  assert.is(await rows(page, "Rooms").count(), 4);
  const row = rows(page, "Rooms").filter({ hasText: ROOM });
  await row.locator('td[data-label="Lag"]', { hasText: "none" }).waitFor();
  assert.match(await textOf(row), /958371.*none106 @alice-s111 @frank-s11/);
  await page.getByLabel("Search").fill("QYJB");
  await rows(page, "Rooms").nth(1).waitFor({ state: "detached" });
  await page.getByRole("button", { name: ROOM }).click();
  await drawn(page);
  assert.match(page.url(), /#room=%21QYJB/);
  await page.goBack();
  await rows(page, "Rooms").first().waitFor();
  assert.equal(harness.complaints, []);
});

page("moves through the log with pointer, keys and links, and everything follows", async () => {
  await using harness = await startPage();
  await playSession(harness.tidemark);
  const page = await harness.open({}, HASH);
  await drawn(page);
  assert.match(await textOf(now(page)), "entry 958 of 958");
  const slider = page.getByRole("slider", { name: "Entry" });
  await slider.focus();
  await page.keyboard.press("Home");
  await now(page).filter({ hasText: "entry 1 of 958" }).waitFor();
  assert.match(await textOf(now(page)), /ordered .* m\.room\.create/);
  assert.is(await rows(page, "Markers").count(), 0);
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
  await now(page).filter({ hasText: "entry 4 of 958" }).waitFor();
  await slider.fill("499");
  await now(page).filter({ hasText: "entry 500 of 958" }).waitFor();
  await rows(page, "Markers").first().waitFor();
  const current = page.locator('section[aria-label="Entries"] tr[aria-current="true"]');
  await current.filter({ hasText: String(await position(page)) }).waitFor();

  const plot = (await page.locator(".plot .u-over").first().boundingBox())!;
  await page.mouse.click(plot.x + plot.width * 0.25, plot.y + plot.height / 2);
  await now(page).filter({ hasNotText: "entry 500 " }).waitFor();
  const there = await position(page);
  await current.filter({ hasText: String(there) }).waitFor();
  await page.waitForURL((url) => url.hash.includes(`at=${there}`));
  const link = page.url();

  const unread = await textOf(page.locator('section[aria-label="Unread"]'));
  const other = await harness.open({}, link.slice(link.indexOf("#")));
  await drawn(other);
  await now(other)
    .filter({ hasText: String(there) })
    .waitFor();
  assert.is(await textOf(other.locator('section[aria-label="Unread"]')), unread);

  // A row selects its point, too.
  await current.locator("xpath=preceding-sibling::tr[5]").getByRole("button").first().click();
  await now(page)
    .filter({ hasNotText: String(there) })
    .waitFor();
  assert.ok((await position(page)) < there);

  await page.getByRole("radio", { name: "position" }).check();
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.getByRole("button", { name: "All", exact: true }).click();
  await drawn(page);
  assert.equal(harness.complaints, []);
});

page("filters entries", async () => {
  await using harness = await startPage();
  await playSession(harness.tidemark);
  const page = await harness.open({}, HASH);
  const entries = page.locator('section[aria-label="Entries"]');
  await rows(page, "Entries").nth(29).waitFor();
  await entries.getByLabel("Outcome").selectOption("held");
  await rows(page, "Entries").nth(10).waitFor({ state: "detached" });
  const held = await rows(page, "Entries").count();
  assert.is(held, 10);
  await entries.getByLabel("User").fill("@bob");
  await rows(page, "Entries").filter({ hasNotText: "@bob-s11" }).first().waitFor({ state: "detached" });
  assert.ok((await rows(page, "Entries").count()) < held);
  await entries.getByRole("button", { name: "Clear" }).click();
  await rows(page, "Entries").nth(29).waitFor();
  const first = await textOf(rows(page, "Entries").first());
  const place = await textOf(rows(page, "Entries").first().locator("td").nth(1));
  await entries.getByRole("button", { name: "Older" }).click();
  await rows(page, "Entries").first().filter({ hasNotText: place }).waitFor();
  await entries.getByRole("button", { name: "Newer" }).click();
  await rows(page, "Entries").first().filter({ hasText: place }).waitFor();
  assert.is(await textOf(rows(page, "Entries").first()), first);
});

page.run();
