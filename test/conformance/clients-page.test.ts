/** The code on docs/clients.md, with those of the client's vectors that follow from MSC4033. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ClientVector } from "../../scripts/conformance/vectors.ts";
import type { ClientEvent, ReceiptsByEvent } from "../../src/frontend/read-state.ts";
import { codeBlocks } from "../support/samples.ts";
import { vectorsOf } from "../support/vectors.ts";

interface Code {
  apply(content: ReceiptsByEvent): void;
  isRead(event: ClientEvent, thread: string, user: string): boolean | undefined;
}

const blocks = await codeBlocks("docs/clients.md", "js");

/** The code keeps the receipts of one room: each vector has its own. */
async function codeFor({ name }: ClientVector): Promise<Code> {
  return import(`data:text/javascript,${encodeURIComponent(`${blocks[0]}// ${name}`)}`);
}

function threadOf({ content }: ClientEvent): string {
  const relation = content["m.relates_to"] as { readonly rel_type?: string; readonly event_id: string } | undefined;
  return relation?.rel_type === "m.thread" ? relation.event_id : "main";
}

const page = suite("docs/clients.md");

page("has one block of code", () => assert.is(blocks.length, 1));

for (const vector of (await vectorsOf("client")).filter(({ source }) => source === "msc4033")) {
  page(`${vector.name}: ${vector.title}`, async () => {
    const code = await codeFor(vector);
    const events = new Map<string, ClientEvent>();
    for (const each of vector.given) {
      if ("event" in each) events.set(each.event.event_id, each.event);
      else if ("receipts" in each) code.apply(each.receipts);
    }
    const expected = Object.entries(vector.expect.read ?? {});
    assert.ok(expected.length > 0);
    for (const [user, read] of expected) {
      for (const [id, isRead] of Object.entries(read)) {
        const event = events.get(id)!;
        assert.is(code.isRead(event, threadOf(event), user), isRead, `${user} ${id}`);
      }
    }
  });
}

page.run();
