/** The inspector's page: files, the login, accessibility, and small screens. */
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { exportLog } from "../../src/replay/export.ts";
import {
  assertAccessible,
  drawn,
  explainOldestUnread,
  now,
  rows,
  startPage,
  textOf,
} from "../support/inspector-page.ts";
import { playSession, ROOMS } from "../support/recorded.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = ROOMS[0];
const HASH = `#room=${encodeURIComponent(ROOM)}`;

/** The folder for screenshots, if there is one. */
const PICTURES = process.env.TIDEMARK_PICTURES;

const page = suite("inspector page");

page("replays a dropped file without the server, and refuses a damaged one", async () => {
  using dir = temporaryDirectory();
  await using harness = await startPage();
  await playSession(harness.tidemark);
  const path = join(dir.path, "log.gz");
  await exportLog(harness.tidemark.nc, { out: path, redact: false });
  const page = await harness.open();
  await rows(page, "Rooms").nth(3).waitFor();
  const live = await harness.open({}, HASH);
  await drawn(live);
  const requested: string[] = [];
  page.on("request", (request) => requested.push(request.url()));

  // A drop event as the browser creates it.
  const bytes = (await readFile(path)).toString("base64");
  await page.evaluate(`
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob("${bytes}"), (char) => char.charCodeAt(0));
    transfer.items.add(new File([bytes], "session.log.gz"));
    dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
  `);
  await page.getByText("session.log.gz, replayed in this browser").waitFor();
  await page.getByRole("button", { name: ROOM }).click();
  await drawn(page);
  for (const section of ["Unread", "Markers", "Held receipts", "Entries"]) {
    const [here, there] = [page, live].map((of) => textOf(of.locator(`section[aria-label="${section}"]`)));
    assert.is(await here, await there, section);
  }
  assert.equal(
    requested.filter((url) => url.includes("/api/")),
    [],
  );

  await page.getByLabel("Open a log file").setInputFiles({
    name: "damaged.log",
    mimeType: "text/plain",
    buffer: Buffer.from("hello\n"),
  });
  await page
    .getByRole("alert")
    .filter({ hasText: "damaged.log, line 1: this is not a log that tidemark exported" })
    .waitFor();
  assert.equal(harness.complaints, []);
});

page("asks for the token if there is no session", async () => {
  await using harness = await startPage();
  const page = await harness.open();
  await page.context().clearCookies();
  await page.reload();
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "That is not the admin token." }).waitFor();
  await page.getByLabel("Token").fill("an admin token of a test");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.locator('section[aria-label="Rooms"]').waitFor();
});

page("is accessible and fits on wide and narrow screens, in light and dark", async () => {
  await using harness = await startPage();
  await playSession(harness.tidemark);
  for (const [width, height] of [
    [1280, 900],
    [375, 812],
  ] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await harness.open({ viewport: { width, height }, colorScheme });
      await rows(page, "Rooms").nth(3).waitFor();
      await assertAccessible(page);
      await page.getByRole("button", { name: ROOM }).click();
      await drawn(page);
      await page.getByRole("slider", { name: "Entry" }).fill("720");
      await now(page).filter({ hasText: "entry 721 " }).waitFor();
      await page.locator(".legend").getByRole("button", { name: "@heidi-s11" }).click();
      await page.locator(".legend [aria-pressed=true]").waitFor();
      await explainOldestUnread(page, "@heidi-s11");
      await page.locator(".verdict").waitFor();
      await assertAccessible(page);
      const fits = await page.evaluate("document.documentElement.scrollWidth <= innerWidth");
      assert.ok(fits, `${width} px ${colorScheme}: nothing scrolls sideways`);
      if (PICTURES !== undefined) {
        mkdirSync(PICTURES, { recursive: true });
        await page.evaluate("scrollTo(0, 0)");
        await page.screenshot({ path: join(PICTURES, `inspector-${width}-${colorScheme}.png`) });
      }
    }
  }
  assert.equal(harness.complaints, []);
});

page.run();
