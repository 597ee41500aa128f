/** A JSON text that is read in parts, against `JSON.parse` of the whole. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type JsonPart, JsonText } from "../../src/homeserver/json-text.ts";
import type { Steps } from "../../src/in-slices.ts";
import { VALUES_MAX, VALUES_PER_KEY } from "../../src/limits.ts";
import { check } from "../support/property.ts";

function done<T>(steps: Steps<T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

function accepts(bytes: Buffer): boolean {
  try {
    done(new JsonText(bytes).check());
    return true;
  } catch (error) {
    assert.instance(error, SyntaxError);
    return false;
  }
}

function parses(bytes: Buffer): boolean {
  try {
    JSON.parse(String(bytes));
    return true;
  } catch {
    return false;
  }
}

/** The value that the parts make, down to the scalars. */
function whole(text: JsonText, part: JsonPart): unknown {
  if (text.isArray(part)) {
    const items: unknown[] = [];
    done(
      text.items(part, function* (item) {
        items.push(whole(text, item));
        yield;
      }),
    );
    return items;
  }
  if (!text.isMap(part)) return text.value(part);
  const map: Record<string, unknown> = {};
  for (const [key, value] of done(text.members(part))) {
    Object.defineProperty(map, key, { value: whole(text, value), enumerable: true, configurable: true });
  }
  return map;
}

const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t", "\r"), maxLength: 3 });
const escaped = fc.string({ unit: "binary", maxLength: 8 }).map((text) => {
  const units = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, "0"));
  return `"${units.map((unit) => `\\u${unit}`).join("")}"`;
});
const scalar = fc.oneof(
  fc.constantFrom("true", "false", "null", "0", "-0", "1e999", "-1.5E+3", "9007199254740993", '"\\ud800"', '"\\"\\/"'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
  fc.string({ unit: "binary", maxLength: 8 }).map((text) => JSON.stringify(text)),
  escaped,
);
const key = fc.oneof(
  fc.constantFrom('"a"', '"\\u0061"', '"__proto__"', '""', '"7"'),
  fc.string({ unit: "binary", maxLength: 4 }).map((text) => JSON.stringify(text)),
  escaped,
);
/** JSON as text: with white space, escapes, and keys that come more than once. */
const { value: json } = fc.letrec<{ value: string }>((tie) => {
  const spaced = fc.tuple(space, tie("value"), space).map((parts) => parts.join(""));
  const member = fc
    .tuple(space, key, space, spaced)
    .map(([before, key, after, value]) => `${before}${key}${after}:${value}`);
  const list = (item: fc.Arbitrary<string>) => fc.array(item, { maxLength: 5 });
  return {
    value: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      scalar,
      fc.tuple(space, list(spaced)).map(([space, items]) => `[${items.join() || space}]`),
      fc.tuple(space, list(member)).map(([space, members]) => `{${members.join() || space}}`),
    ),
  };
});

const texts = suite("a JSON text in parts");

texts("has the values of the whole, of equal keys the last", () => {
  check(
    fc.property(json, (source) => {
      const bytes = Buffer.from(`\ufeff ${source}\n`);
      const text = new JsonText(bytes);
      assert.equal(JSON.stringify(whole(text, done(text.check()))), JSON.stringify(JSON.parse(source)));
    }),
    { numRuns: 1_000 },
  );
});

texts("is JSON if `JSON.parse` takes it, whatever is changed, cut off or added", () => {
  const byte = fc.oneof(
    fc.constantFrom(...Buffer.from('{}[]",:\\ \n0123456789+-.eEtrufalsn\u0000\u001f\u007f'), 0x80, 0xc3, 0xff),
    fc.integer({ min: 0, max: 255 }),
  );
  let refused = 0;
  check(
    fc.property(
      json,
      fc.nat(),
      byte,
      fc.constantFrom("replace", "insert", "delete", "cut"),
      (source, place, byte, how) => {
        const bytes = Buffer.from(source);
        const at = place % (bytes.length + 1);
        const rest = bytes.subarray(how === "insert" ? at : at + 1);
        const changed = Buffer.concat([
          bytes.subarray(0, at),
          how === "delete" || how === "cut" ? Buffer.alloc(0) : Buffer.from([byte]),
          how === "cut" ? Buffer.alloc(0) : rest,
        ]);
        const expected = parses(changed);
        if (!expected) refused++;
        assert.is(accepts(changed), expected, JSON.stringify(String(changed)));
      },
    ),
    { numRuns: 3_000 },
  );
  assert.ok(refused > 100, `${refused} were refused`);
});

texts("is read alike over the ends of steps", () => {
  const long = 40_000;
  const pieces = [
    `"${"x".repeat(long)}"`,
    `"${"é".repeat(long)}"`,
    `"${"\\u00e9".repeat(long)}"`,
    "1".repeat(long),
    `-1.${"1".repeat(long)}e-${"1".repeat(long)}`,
    `[${" ".repeat(long)}]`,
    `${"[".repeat(long)}${"]".repeat(long)}`,
    `${'{"a":'.repeat(long)}0${"}".repeat(long)}`,
    `[${"0,".repeat(long)}0]`,
  ];
  for (const piece of pieces) {
    for (const text of [piece, `[${piece},${piece}]`, `{"a":${piece}}`]) {
      assert.ok(accepts(Buffer.from(text)), text.slice(0, 50));
      for (const changed of [text.slice(0, text.length / 2), ...["x", ",", "]", '"'].map((end) => text + end)]) {
        const bytes = Buffer.from(changed);
        assert.is(accepts(bytes), parses(bytes), text.slice(0, 50));
      }
    }
  }
});

texts("counts values as a request does, and parses no part that is too large", () => {
  const part = (source: string): JsonPart => done(new JsonText(Buffer.from(source)).check());
  assert.is(part("7").values, 1);
  assert.is(part('[[], {}, "a,b:c"]').values, 4);
  assert.is(part('{"a": [1, 2], "b": {}}').values, 5 + 2 * VALUES_PER_KEY);

  const zeros = `[${"0,".repeat(VALUES_MAX - 2)}0]`;
  for (const [source, isSmall] of [
    [zeros, true],
    [zeros.replace("[", "[0,"), false],
    [`"${"x".repeat(1_000_000)}"`, true],
    [`"${"x".repeat(1_100_000)}"`, false],
  ] as const) {
    const text = new JsonText(Buffer.from(source));
    assert.is(text.value(done(text.check())) !== undefined, isSmall);
  }
});

texts("yields after every few kilobytes", () => {
  const count = (steps: Steps<unknown>) => {
    let yields = 0;
    for (const _ of steps) yields++;
    return yields;
  };
  const long = " ".repeat(1_000_000);
  for (const source of [
    `"${long}"`,
    `[${long}]`,
    `[0${long}]`,
    `{"a":${long}{}}`,
    "[".repeat(500_000) + "]".repeat(500_000),
  ]) {
    const text = new JsonText(Buffer.from(source));
    assert.ok(count(text.check()) >= 60, source.slice(0, 20));
  }
});

texts.run();
