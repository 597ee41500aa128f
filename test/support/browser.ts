import { type Browser, chromium } from "playwright-core";
import { ensureChromium } from "./chromium.ts";

/** Headless. Without its sandbox where it runs as root, as in containers, where it would refuse to start. */
export async function launchChromium(): Promise<Browser> {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return await chromium.launch({ executablePath: await ensureChromium(), args });
}
