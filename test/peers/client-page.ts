/** A page with another project's client, in Chromium, on an origin of its own: as an application on the web is. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { build } from "vite";
import { launchChromium } from "../support/browser.ts";

const HTML = '<!doctype html><body><script type="module" src="/client.js"></script>';

export interface ClientPage extends AsyncDisposable {
  readonly page: Page;
  /** What the page wrote to its console, and errors that nobody caught. */
  readonly lines: readonly string[];
}

/** Opens a page with a script of `page/`, and the service worker that it registers as `/sw.js`. */
export async function openClientPage(script: string, serviceWorker = ""): Promise<ClientPage> {
  const scripts = new Map([
    ["/client.js", await bundled(script)],
    ["/sw.js", serviceWorker],
  ]);
  const server = createServer(({ url = "" }, response) => {
    const text = scripts.get(url);
    response.writeHead(200, { "content-type": text === undefined ? "text/html" : "text/javascript" }).end(text ?? HTML);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const browser = await launchChromium();
  const page = await browser.newPage();
  const lines: string[] = [];
  page.on("console", (message) => lines.push(message.text()));
  page.on("pageerror", (error) => lines.push(String(error.stack)));
  await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: "load" });
  return {
    page,
    lines,
    [Symbol.asyncDispose]: async () => {
      await browser.close();
      server.close();
    },
  };
}

async function bundled(script: string): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "error",
    publicDir: false,
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
    build: {
      write: false,
      minify: false,
      lib: { entry: join(import.meta.dirname, "page", script), formats: ["es"], fileName: "client" },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  });
  const [result] = [built].flat();
  if (result === undefined || !("output" in result)) throw new Error("vite has built nothing");
  return result.output[0].code;
}
