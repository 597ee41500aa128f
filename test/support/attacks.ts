/** Malformed and malicious requests, and what Tidemark must do with each: refuse it, and continue to serve. */
import * as assert from "uvu/assert";
import { decoded, message, pack, type TidemarkHarness, token } from "./harness.ts";

export const ROOM = "!hostile:a.org";

export const ROOM_REQUESTS = ["event", "history", "backfill", "state", "receipt"] as const;

export interface Attack {
  readonly name: string;
  /** The whole subject. */
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly errcode?: string;
  /** What the error must match, mostly a field's name. Default: any text. */
  readonly says?: RegExp;
}

export function subjectOf(kind: string): string {
  return `tidemark.in.${kind}.${token(kind === "edu" ? "a.org" : ROOM)}`;
}

export function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** A value nested so deeply that a careless decoder overflows its stack. */
export function nested(depth: number, open: string, close: string): Uint8Array {
  return Buffer.from(open.repeat(depth) + close.repeat(depth));
}

/** An event whose content has one value, given as MessagePack. */
export function eventWith(value: Uint8Array): Uint8Array {
  const marker = "put it here";
  const event = Buffer.from(pack(message("$1", { content: { key: marker } })));
  const at = event.indexOf(Buffer.from(pack(marker)));
  return Buffer.concat([event.subarray(0, at), value, event.subarray(at + pack(marker).length)]);
}

export async function withstood(tidemark: TidemarkHarness, attacks: readonly Attack[]): Promise<void> {
  const before = await tidemark.lastSequences();
  for (const { name, subject, bytes, errcode = "M_INVALID_PARAM", says = /./ } of attacks) {
    const raw = await tidemark.request(subject, bytes);
    const reply = decoded(raw);
    assert.is(reply.ok, false, `${name}: ${JSON.stringify(reply)}`);
    assert.is(reply.errcode, errcode, `${name}: ${reply.error}`);
    assert.match(reply.error, says, name);
    withoutStack(raw, name);
  }
  assert.equal(await tidemark.lastSequences(), before, "nothing is in any log");
  await serves(tidemark);
}

export function withoutStack(raw: Uint8Array, name: string): void {
  const text = Buffer.from(raw).toString("latin1");
  assert.not.match(text, /\n\s+at |node_modules|\.ts:\d|\.js:\d|file:\/\//, `${name}: no stack`);
}

/** Asserts that Tidemark still accepts an event in another room, publishes it, and is ready. */
export async function serves(tidemark: TidemarkHarness): Promise<void> {
  const room = `!serves${Math.random().toString(36).slice(2)}:a.org`;
  const events = tidemark.subscribe(`tidemark.client.*.${token(room)}.events`);
  await tidemark.sent("event", room, message("$alive"));
  assert.is((await events.next()).body.events[0].event_id, "$alive");
  assert.is((await fetch(`${tidemark.httpUrl}/readyz`)).status, 200);
}

/** How many values of events were pruned, for whatever reason. */
export async function prunedValues(tidemark: TidemarkHarness): Promise<number> {
  const text = await tidemark.metrics();
  const counts = text.matchAll(/^tidemark_pruned_values_total\{.*\} (\d+)$/gm);
  return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
}
