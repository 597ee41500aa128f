/** Messages on client and user subjects that Tidemark did not write (docs/design.md#what-is-published). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeDelta, MESSAGES } from "../../../src/bus/contract/messages.ts";
import { pack } from "../../support/harness.ts";

const SUBJECTS = {
  events: "tidemark.client.0.!r.events",
  receipts: "tidemark.client.0.!r.receipts",
  private: "tidemark.user.0.@u.receipts",
} as const;

const STATE = {
  ...MESSAGES.events.example,
  kind: "state",
  events: [],
  members: { "@b:example.org": { membership: "join", position: 7 } },
};
const PRIVATE = { ...MESSAGES.private.example, event: MESSAGES.receipts.example.event };

/** Every way to put a value of another type in place of one that is there. */
function* spoiled(value: unknown): Generator<unknown> {
  for (const other of [null, 7.5, "text", [], {}]) {
    if (typeof other !== typeof value || Array.isArray(other) !== Array.isArray(value)) yield other;
  }
  if (typeof value === "number") yield -1.5;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    for (const bad of spoiled(inner)) {
      yield Array.isArray(value) ? value.with(Number(key), bad) : { ...value, [key]: bad };
    }
  }
}

const shapes = suite("delta shapes");

shapes("of all that Tidemark publishes are taken", () => {
  for (const [subject, message] of [
    [SUBJECTS.events, MESSAGES.events.example],
    [SUBJECTS.events, STATE],
    [SUBJECTS.receipts, MESSAGES.receipts.example],
    [SUBJECTS.private, MESSAGES.private.example],
    [SUBJECTS.private, PRIVATE],
  ] as const) {
    assert.ok(decodeDelta(subject, pack(message)), JSON.stringify(message));
    assert.ok(decodeDelta(subject, pack({ ...message, later: "unknown keys are" })));
  }
});

/** Fields on which no reader relies. */
const FREE = /"(?:ts|origin_server_ts|msgtype|body|type)":/;

shapes("that are spoiled in one place are refused, where a reader relies on it", () => {
  let refused = 0;
  for (const [subject, message] of [
    [SUBJECTS.events, MESSAGES.events.example],
    [SUBJECTS.events, STATE],
    [SUBJECTS.receipts, MESSAGES.receipts.example],
    [SUBJECTS.private, PRIVATE],
  ] as const) {
    for (const bad of spoiled(message)) {
      if (decodeDelta(subject, pack(bad)) === undefined) refused++;
      else assert.ok(FREE.test(differenceOf(message, bad)), JSON.stringify(bad));
    }
  }
  assert.ok(refused > 100);
});

/** The innermost field that differs, as JSON. */
function differenceOf(a: unknown, b: unknown): string {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return "";
  for (const [key, value] of Object.entries(a)) {
    const other = (b as Record<string, unknown>)[key];
    if (JSON.stringify(value) !== JSON.stringify(other)) return differenceOf(value, other) || `"${key}":`;
  }
  return "";
}

shapes.run();
