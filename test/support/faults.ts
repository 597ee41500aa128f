/** The faults that a schema finds in values. */
import * as assert from "uvu/assert";
import type * as z from "zod";

/** Returns `field: reason` of the first fault, or `accepted`. */
export function fault(schema: z.ZodType, value: unknown): string {
  const [issue] = schema.safeParse(value).error?.issues ?? [];
  return issue === undefined ? "accepted" : `${issue.path.join(".")}: ${issue.message}`;
}

export function refuses(schema: z.ZodType, faults: readonly (readonly [unknown, string])[]): void {
  for (const [value, expected] of faults) {
    const actual = fault(schema, value);
    assert.ok(actual.startsWith(expected), `${actual} does not start with ${expected}`);
  }
}
