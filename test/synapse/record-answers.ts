/**
 * `npm run record:answers`: writes what a live Synapse answers into test/fixtures/synapse-answers, for tests without one.
 * Each answer has the orders that Tidemark gave to its events. Nothing in it is secret: the homeserver is gone.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../support/harness.ts";
import { answerRequests, fillRoom } from "../support/homeserver-answers.ts";
import { startProxiedSynapse } from "../support/proxied-synapse.ts";
import type { RecordedAnswers } from "../support/recorded-answers.ts";
import { shownIn } from "../support/shown-orders.ts";

const FOLDER = join(import.meta.dirname, "../fixtures/synapse-answers");
/** The oldest room version, whose ids have a server's name, and the newest, whose rooms have none. */
const VERSIONS = ["1", "12"];

await using proxied = await startProxiedSynapse();
const { synapse, proxyUrl } = proxied;
for (const version of VERSIONS) {
  const room = await fillRoom(synapse, version);
  const ask = async (url: string, method: string, path: string, body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${room.bob.token}` },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };
  const orders: Record<string, number> = {};
  const hasAll = async () => {
    const { text } = await ask(proxyUrl, "GET", `/_matrix/client/v3/sync?timeout=0&since=${room.since}`);
    return shownIn(JSON.parse(text)).every(({ orders: [order] }) => order !== undefined);
  };
  await eventually(hasAll, "all is pushed");
  const answers: RecordedAnswers["answers"][number][] = [];
  for (const { kind, method, path, body } of answerRequests(room)) {
    const { status, text } = await ask(synapse.url, method, path, body);
    answers.push({ kind, method, path, status, text });
    const annotated = await ask(proxyUrl, method, path, body);
    for (const {
      event,
      orders: [order],
    } of shownIn(JSON.parse(annotated.text))) {
      if (order !== undefined) orders[event] = order;
    }
  }
  const recorded: RecordedAnswers = { synapse: synapse.version, roomVersion: version, orders, answers };
  await writeFile(join(FOLDER, `room-v${version}.json`), `${JSON.stringify(recorded, null, 1)}\n`);
}
