/** The inspector's page with a large room. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { message, receipt } from "../support/harness.ts";
import { startPage } from "../support/inspector-page.ts";

const page = suite("inspector page");

page("is fast with a hundred thousand entries, because answers are windows", async () => {
  await using harness = await startPage();
  const { tidemark } = harness;
  const room = "!busy:a.org";
  let events = 0;
  for (let sent = 0; sent < 100; sent++) {
    await tidemark.sent(
      "event",
      room,
      Array.from({ length: 100 }, () => message(`$${events++}`)),
    );
    await tidemark.sent(
      "receipt",
      room,
      Array.from({ length: 900 }, (_, i) => receipt(`@u${i % 40}:a.org`, `$${events - 1 - ((i * 7) % 100)}`)),
    );
  }
  const page = await harness.open();
  const sizes: number[] = [];
  page.on("response", (response) => {
    if (response.url().includes("/api/rooms/"))
      void response.body().then(
        (body) => sizes.push(body.length),
        () => {},
      );
  });
  await page.getByRole("button", { name: room }).click();
  await page.locator(".plot canvas").first().waitFor();
  await page.locator(".now").filter({ hasText: "entry 100,000 of 100,000" }).waitFor();
  const slider = page.getByRole("slider", { name: "Entry" });
  const before = process.cpuUsage();
  for (const entry of [20_000, 90_000, 50_000]) {
    await slider.fill(String(entry - 1));
    await page
      .locator(".now")
      .filter({ hasText: `entry ${entry.toLocaleString("en")} of` })
      .waitFor();
  }
  const perMove = process.cpuUsage(before).user / 1_000 / 3;
  assert.ok(perMove < 3_000, `${perMove} ms of the server's processor per move`);
  assert.ok(Math.max(...sizes) < 1_048_576, `the largest answer has ${Math.max(...sizes)} bytes`);
  assert.equal(harness.complaints, []);
});

page.run();
