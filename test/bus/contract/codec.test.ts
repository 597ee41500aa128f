/** What Tidemark and its libraries write. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decode, decodeUntrusted, encode, encodeAs, encodedSize } from "../../../src/bus/contract/codec.ts";
import { VALUES_MAX, VALUES_PER_KEY } from "../../../src/limits.ts";
import { check } from "../../support/property.ts";

const codec = suite("codec");

codec("leaves out a key without a value, as JSON does", () => {
  const receipt = { event_id: "$a", thread_id: undefined, inner: { ts: undefined, list: [undefined, 1] } };
  const written = { event_id: "$a", inner: { list: [null, 1] } };
  for (const encoding of ["msgpack", "json"] as const) {
    assert.equal(decodeUntrusted(encodeAs(receipt, encoding), encoding), written);
  }
  assert.equal(encode(receipt), encode(written));
});

codec("writes any names as plain data", () => {
  const content = { constructor: 1, toString: "x", hasOwnProperty: null, toJSON: 5, length: -1, valueOf: {} };
  assert.equal(decode(encode(content)), content);
});

codec("knows how large a value is when it is encoded", () => {
  check(
    fc.property(fc.jsonValue(), (value) => {
      const { bytes, values } = encodedSize(value);
      assert.is(bytes, encode(value).length);
      assert.ok(values <= Buffer.byteLength(JSON.stringify(value)), "so JSON of the size of an event has few enough");
    }),
  );
  assert.equal(encodedSize({ a: [1, {}, "x"], b: null }).values, 6 + 2 * VALUES_PER_KEY);
  const numbers = Array.from({ length: 15_500 }, () => 0.1);
  assert.ok(JSON.stringify(numbers).length < 65_536);
  assert.ok(encodedSize(numbers).bytes > 139_000);
  assert.ok(encodedSize(numbers).values < VALUES_MAX);
});

codec.run();
