/** `ReadState`, bundled as a web client bundles it, in a browser: its answers are compared with those in Node. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { build } from "vite";
import { type ClientEvent, ReadState } from "../../src/frontend/read-state.ts";
import { launchChromium } from "../support/browser.ts";

const ROOT = join(import.meta.dirname, "../..");
const BYTES_MAX = 8_192;
const BOB = "@bob:b.org";

const event = (id: string, order: number, content: Record<string, unknown> = {}): ClientEvent => ({
  event_id: id,
  type: "m.room.message",
  sender: "@alice:a.org",
  content,
  unsigned: { order },
});
const EVENTS = [
  event("$2", 2, { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } }),
  event("$1", 1),
  event("$3", 3),
];

/** Sent to the browser as text, so it may use only its arguments. */
function story(Room: typeof ReadState, events: readonly ClientEvent[]) {
  const room = new Room();
  for (const each of events) room.note(each);
  room.apply({ $2: { "m.read": { "@bob:b.org": { ts: 1, order: 2, thread_id: "$1" } } } });
  const { total, main, threads } = room.unread("@bob:b.org");
  return {
    unread: [total, main, [...threads]],
    read: ["$1", "$2", "$3", "$4"].map((id) => room.isRead(id, "@bob:b.org")),
    readers: room.readers("$2"),
    markers: [...room.markers],
  };
}

async function bundle(): Promise<{ readonly code: string; readonly modules: readonly string[] }> {
  const output = await build({
    configFile: false,
    logLevel: "error",
    root: ROOT,
    build: {
      write: false,
      minify: true,
      lib: { entry: join(ROOT, "src/frontend/read-state.ts"), name: "tidemark", formats: ["iife"] },
    },
  });
  if (!Array.isArray(output)) throw new Error("one format has one output");
  const [chunk] = output[0]!.output;
  return { code: chunk.code, modules: chunk.moduleIds };
}

const browser = suite("read state in a browser");

browser("has a small bundle of Tidemark's own modules only", async () => {
  const { code, modules } = await bundle();
  const foreign = modules.filter((id) => !/^(?:src|actors)\//.test(id.slice(ROOT.length + 1)));
  assert.equal(foreign, []);
  assert.ok(code.length < BYTES_MAX, `${code.length} bytes`);
});

browser("gives the same answers as in Node", async () => {
  const here = story(ReadState, EVENTS);
  assert.equal(here.unread, [2, 2, []]);
  assert.equal(here.readers, [BOB]);
  const chromium = await launchChromium();
  try {
    const page = await chromium.newPage();
    const { code } = await bundle();
    assert.equal(await page.evaluate(`${code}\n(${story})(tidemark.ReadState, ${JSON.stringify(EVENTS)})`), here);
  } finally {
    await chromium.close();
  }
});

browser.run();
