import { type Browser, chromium } from "playwright-core";
import { ensureChromium } from "./chromium.ts";

/** Starts Chromium, headless. As root, as in containers, it refuses to start with its sandbox, so it runs without. */
export async function launchChromium(): Promise<Browser> {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return await chromium.launch({ executablePath: await ensureChromium(), args });
}
