/** Filters: what they let pass, one object for those that mean the same, and bounds. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { filterId, filterOf, filterParam, parseFilter, passes, roomPasses } from "../../src/gateway/filter.ts";
import { TypePatterns } from "../../src/gateway/type-patterns.ts";
import { FILTER_LIST_MAX, FILTERS_CACHED_BYTES_MAX } from "../../src/limits.ts";
import { usedBytes } from "../support/heap.ts";
import { check } from "../support/property.ts";

const filters = suite("filters");

filters("types, senders and rooms are let pass or kept back", () => {
  const { timeline } = parseFilter({
    room: {
      timeline: { types: ["m.room.*", "a"], not_types: ["*.topic"], not_senders: ["@spam:a.org"], rooms: ["!r"] },
    },
  }).room!;
  const shown = (type: string, sender = "@bob:a.org") => passes(timeline, { type, sender });
  assert.equal(
    ["m.room.message", "a", "ab", "m.room.topic", "m.room."].map((type) => shown(type)),
    [true, true, false, false, true],
  );
  assert.not.ok(shown("a", "@spam:a.org"));
  assert.equal([roomPasses(timeline, "!r"), roomPasses(timeline, "!other")], [true, false]);
  assert.equal([passes(undefined, { type: "a" }), roomPasses(undefined, "!r")], [true, true]);
  const nothing = parseFilter({ room: { ephemeral: { types: [] }, not_rooms: ["!r"] } }).room!;
  assert.not.ok(passes(nothing.ephemeral, { type: "m.receipt" }));
  assert.not.ok(roomPasses(nothing, "!r"));
});

filters("filters that mean the same are one object", () => {
  const filter = filterParam('{"room":{"timeline":{"limit":5,"types":["b","a"]},"include_leave":true}}');
  const same = [
    '{"room":{"include_leave":true,"timeline":{"types":["a","b","a"],"limit":5}}}',
    '{"n":1,"room":{"x":[],"include_leave":true,"timeline":{"types":["a","b"],"limit":5,"senders":null}}}',
    '{"room":{"include_leave":true,"state":{},"timeline":{"unread_thread_notifications":false,"types":["a","b"],"limit":5}}}',
  ];
  for (const text of same) assert.is(filterParam(text), filter, text);
  assert.is(filterParam(filterId(JSON.parse(same[1]!))), filter);
  assert.is.not(filterParam('{"room":{"timeline":{"limit":4,"types":["b","a"]},"include_leave":true}}'), filter);
  for (let n = 0; n < 97; n++) assert.is(filterParam(`{"n":${n}}`), filterParam(undefined));
});

filters("a filter may name 600 rooms, but only so many types and senders", () => {
  const rooms = Array.from(
    { length: 600 },
    (_, i) => `!${(i * 2_654_435_761).toString(36).repeat(3)}:example.org`,
  ).sort();
  assert.equal(filterOf(filterId({ room: { rooms } })), { room: { rooms } });
  const many = Array.from({ length: FILTER_LIST_MAX + 1 }, (_, i) => `t${i}`);
  for (const list of ["types", "not_types", "senders", "not_senders"]) {
    const filter = (entries: string[]) => ({ room: { timeline: { [list]: entries } } });
    assert.throws(() => parseFilter(filter(many)), new RegExp(`filter: room.timeline.${list}: Too big`));
    parseFilter(filter(many.slice(1)));
  }
  assert.throws(
    () => parseFilter({ room: { state: { types: ["*a".repeat(101)] } } }),
    /room.state.types: Too many wild/,
  );
  parseFilter({ room: { state: { types: ["*".repeat(1_000)] } } });
});

filters("a pattern matches what the same regular expression does", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 6 });
  const matching = fc.property(fc.array(pattern, { maxLength: 3 }), text, (patterns, type) => {
    const expressions = patterns.map((each) => new RegExp(`^${each.replaceAll(".", "\\.").replaceAll("*", ".*")}$`));
    assert.is(
      new TypePatterns(patterns).matches(type),
      expressions.some((expression) => expression.test(type)),
      `${JSON.stringify(patterns)} ${type}`,
    );
  });
  check(matching, { numRuns: 1_000 });
});

filters("whatever filters clients invent, those that are kept cost no more than their bound", () => {
  const before = usedBytes();
  for (let i = 0; i < 3_000; i++) {
    const types = Array.from({ length: i % FILTER_LIST_MAX }, (_, k) => (k % 2 === 0 ? `t${i}.${k}.*` : `*a${k}`));
    filterParam(JSON.stringify({ room: { rooms: [`!${i}`], timeline: { types } } }));
  }
  const grown = usedBytes() - before;
  assert.ok(grown < 2 * FILTERS_CACHED_BYTES_MAX, `${grown} bytes`);
});

filters.run();
