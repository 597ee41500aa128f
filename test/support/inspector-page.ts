/** The inspector's page in a real browser. Records unexpected requests and errors. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import * as assert from "uvu/assert";
import { launchChromium } from "./browser.ts";
import { LIMIT_MS } from "./harness.ts";
import { ADMIN_TOKEN, type InspectedHarness, startInspected } from "./inspector.ts";

const AXE = fileURLToPath(import.meta.resolve("axe-core/axe.min.js"));

export interface PageHarness extends AsyncDisposable {
  readonly tidemark: InspectedHarness;
  /** Opens a page with a session. `hash`: the part of the address after `#`. */
  open(options?: BrowserContextOptions, hash?: string): Promise<Page>;
  /** Requests to other hosts, and errors of scripts and of the console, in all pages. */
  readonly complaints: readonly string[];
}

export async function startPage(): Promise<PageHarness> {
  const tidemark = await startInspected();
  let browser: Browser;
  try {
    browser = await launchChromium();
  } catch (error) {
    await tidemark[Symbol.asyncDispose]();
    throw error;
  }
  const complaints: string[] = [];
  return {
    tidemark,
    complaints,
    open: async (options = {}, hash = "") => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      await context.request.post(`${tidemark.httpUrl}/inspect/api/session`, { data: { token: ADMIN_TOKEN } });
      const page = await context.newPage();
      page.setDefaultTimeout(LIMIT_MS);
      page.on("request", (request) => {
        if (!request.url().startsWith(`${tidemark.httpUrl}/inspect/`)) complaints.push(`request to ${request.url()}`);
      });
      page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
      });
      await page.goto(`${tidemark.httpUrl}/inspect/${hash}`);
      return page;
    },
    [Symbol.asyncDispose]: async () => {
      await browser.close();
      await tidemark[Symbol.asyncDispose]();
    },
  };
}

/** The rows of the table in a section. */
export const rows = (page: Page, section: string) => page.locator(`section[aria-label="${section}"] tbody tr`);
/** Resolves when the chart is drawn. */
export const drawn = (page: Page) => page.locator(".plot canvas").first().waitFor();
/** The line with the current point of the log. */
export const now = (page: Page) => page.locator(".now");

/** The text of an element, with white space collapsed. */
export async function textOf(locator: Locator): Promise<string> {
  return ((await locator.textContent()) ?? "").replace(/\s+/g, " ");
}

/** Fails if the page has serious or critical accessibility problems. */
export async function assertAccessible(page: Page): Promise<void> {
  // The policy of the page forbids inline scripts. `evaluate` is not subject to it.
  await page.evaluate(await readFile(AXE, "utf8"));
  const faults = await page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe puts itself into the page's global scope
    const { violations } = await (globalThis as any).axe.run();
    return violations
      .filter(({ impact }: { impact: string }) => impact === "serious" || impact === "critical")
      .map(
        ({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
          `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`,
      );
  });
  assert.equal(faults, []);
}
/** Opens the explanation of a user's oldest unread event, from the table of unread counts. */
export const explainOldestUnread = (page: Page, user: string) =>
  page.locator('section[aria-label="Unread"]').getByRole("row", { name: user }).getByRole("button").last().click();
