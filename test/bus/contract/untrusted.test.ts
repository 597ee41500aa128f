import * as fc from "fast-check";
import { pack } from "msgpackr";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodePruned, decodeUntrusted, type Encoding, encode, encodingOf } from "../../../src/bus/contract/codec.ts";
import { jsonFault, messagePackFault } from "../../../src/bus/contract/untrusted.ts";
import { TidemarkError } from "../../../src/errors.ts";
import { DEPTH_MAX, VALUES_MAX, VALUES_PER_KEY } from "../../../src/limits.ts";
import { check } from "../../support/property.ts";

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

/** The reason of a refusal, or `accepted`. Rethrows any other error. */
function refusal(bytes: Uint8Array, encoding: Encoding = "msgpack"): string {
  try {
    decodeUntrusted(bytes, encoding);
    return "accepted";
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    assert.is(error.code, "M_BAD_JSON");
    return error.message;
  }
}

const refused = (hex: string, why: string) => assert.is(refusal(bytesOf(hex)), `not plain MessagePack: ${why}`, hex);
const accepted = (hex: string, value: unknown) => assert.equal(decodeUntrusted(bytesOf(hex), "msgpack"), value);

const number = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
);
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("", "é".repeat(40), "a".repeat(300), "😀"),
);
const key = text.filter((key) => key !== "__proto__");
const { value: jsonLike } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    number,
    text,
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(key, tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

const messagePack = suite("untrusted MessagePack");

messagePack("is accepted if it can be written as JSON", () => {
  check(fc.property(jsonLike, (value) => assert.equal(decodeUntrusted(encode(value), "msgpack"), value)));
  check(fc.property(jsonLike, (value) => assert.equal(decodeUntrusted(pack(value), "msgpack"), value)));
});

messagePack("is accepted in every width of the format", () => {
  accepted("c0", null);
  accepted("c2", false);
  accepted("c3", true);
  accepted("7f", 127);
  accepted("e0", -32);
  accepted("cc ff", 255);
  accepted("cd ffff", 65_535);
  accepted("ce ffffffff", 4_294_967_295);
  accepted("cf 001fffffffffffff", Number.MAX_SAFE_INTEGER);
  accepted("d0 80", -128);
  accepted("d1 8000", -32_768);
  accepted("d2 80000000", -2_147_483_648);
  accepted("d3 ffe0000000000001", -Number.MAX_SAFE_INTEGER);
  accepted("ca 3fc00000", 1.5);
  accepted("cb 3ff8000000000000", 1.5);
  accepted("a0", "");
  accepted("d9 01 61", "a");
  accepted("da 0001 61", "a");
  accepted("db 00000001 61", "a");
  accepted("90", []);
  accepted("dc 0001 01", [1]);
  accepted("dd 00000001 01", [1]);
  accepted("80", {});
  accepted("de 0001 a1 61 01", { a: 1 });
  accepted("df 00000001 a1 61 01", { a: 1 });
  accepted("81 d9 01 61 01", { a: 1 });
});

messagePack("is refused with an extension of any type", () => {
  for (let type = 0; type < 256; type++) {
    const hex = type.toString(16).padStart(2, "0");
    for (const [token, size] of [
      ["d4", 1],
      ["d5", 2],
      ["d6", 4],
      ["d7", 8],
      ["d8", 16],
    ] as const) {
      refused(`${token} ${hex} ${"00".repeat(size)}`, "an extension type");
    }
    refused(`c7 01 ${hex} 00`, "an extension type");
    refused(`c8 0001 ${hex} 00`, "an extension type");
    refused(`c9 00000001 ${hex} 00`, "an extension type");
  }
  refused("c1", "an extension type");
});

messagePack("is refused with records of msgpackr, anywhere", () => {
  refused("d4 72 40 91 a1 61 01", "an extension type");
  refused("91 d4 72 40 91 a1 61 01", "an extension type");
  refused("81 a1 61 d4 72 40 91 a1 61 01", "an extension type");
  // After the definition of a record, this byte would be one. Here it is a number.
  accepted("40", 64);
});

messagePack("is refused with binary data", () => {
  refused("c4 01 00", "binary data");
  refused("c5 0001 00", "binary data");
  refused("c6 00000001 00", "binary data");
  refused("81 a1 61 c4 00", "binary data");
});

messagePack("is refused if it is nested too deeply, and accepted up to the limit", () => {
  for (const [open, key] of [
    ["91", ""],
    ["81", "a161"],
    ["dc0001", ""],
    ["df00000001", "a161"],
  ] as const) {
    const nested = (depth: number) => `${(open + key).repeat(depth)}c0`;
    assert.is(refusal(bytesOf(nested(DEPTH_MAX))), "accepted");
    refused(nested(DEPTH_MAX + 1), `nested more than ${DEPTH_MAX} deep`);
    refused(nested(50_000), `nested more than ${DEPTH_MAX} deep`);
  }
});

messagePack("is refused if a length exceeds the message, without allocating it", () => {
  const before = process.cpuUsage();
  for (const hex of [
    "dd ffffffff",
    "df ffffffff",
    "db ffffffff",
    "dc ffff",
    "de ffff",
    "da ffff",
    "d9 ff",
    "bf",
    "9f",
    "8f",
  ]) {
    for (let i = 0; i < 1_000; i++) refused(hex, "it ends too early");
    refused(`${hex} 00`, "it ends too early");
  }
  assert.ok(process.cpuUsage(before).user < 5_000_000, "less than 5 s");
});

messagePack("is refused with a number that is not finite", () => {
  for (const hex of ["ca 7fc00000", "ca 7f800000", "ca ff800000"]) refused(hex, "a number that is not finite");
  for (const number of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    assert.match(refusal(pack([number])), "a number that is not finite");
  }
});

messagePack("is accepted with every finite number, as the nearest double", () => {
  accepted("cf 0020000000000000", 2 ** 53);
  accepted("cf ffffffffffffffff", 2 ** 64);
  accepted("d3 0020000000000000", 2 ** 53);
  accepted("d3 ffe0000000000000", -(2 ** 53));
  accepted("d3 8000000000000000", -(2 ** 63));
  accepted("cb 4340000000000000", 2 ** 53);
  accepted("cb 7fefffffffffffff", Number.MAX_VALUE);
  accepted("ca 7f7fffff", 3.4028234663852886e38);
  assert.equal(decodeUntrusted(encode([1e22, 0.1, -1e-300, 2 ** 60]), "msgpack"), [1e22, 0.1, -1e-300, 2 ** 60]);
});

messagePack("is refused if it is truncated anywhere, or followed by more bytes", () => {
  const whole = encode({ a: [1, -1, 1.5, 2 ** 40, null, true, "text", "é".repeat(40)], b: { c: "a".repeat(300) } });
  assert.is(refusal(whole), "accepted");
  for (let end = 0; end < whole.length; end++) {
    assert.is(refusal(whole.subarray(0, end)), "not plain MessagePack: it ends too early", `cut at ${end}`);
  }
  assert.is(refusal(Buffer.concat([whole, Buffer.of(0xc0)])), "not plain MessagePack: bytes follow the value");
});

messagePack("is refused with a key named __proto__, however it is encoded", () => {
  const proto = Buffer.from("__proto__").toString("hex");
  for (const key of [`a9${proto}`, `d909${proto}`, `da0009${proto}`, `db00000009${proto}`]) {
    refused(`81 ${key} 80`, "a key named __proto__");
    refused(`82 a1 61 01 ${key} 80`, "a key named __proto__");
    accepted(`91 ${key}`, ["__proto__"]);
    accepted(`81 a1 61 ${key}`, { a: "__proto__" });
  }
  accepted(`81 aa${proto}5f 01`, { __proto___: 1 });
});

messagePack("is refused with a key that is not a string", () => {
  for (const key of [
    "00",
    "ff",
    "c0",
    "c3",
    "cc 01",
    "cb 3ff8000000000000",
    "90",
    "80",
    "91 01",
    "dc 0000",
    "de 0000",
  ]) {
    refused(`81 ${key} 01`, "a map key is not a string");
    refused(`82 a1 61 01 ${key} 01`, "a map key is not a string");
  }
});

/** Whether a value consists of plain data only. */
function isPlain(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (Array.isArray(value)) return value.every(isPlain);
  return (
    typeof value === "object" &&
    Object.getPrototypeOf(value) === Object.prototype &&
    Object.values(value).every(isPlain)
  );
}

const soup = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  // Meaningful bytes in any order.
  fc
    .array(
      fc.constantFrom(0x81, 0x92, 0xa1, 0xa4, 0xd9, 0xdc, 0x00, 0x01, 0x02, 0x61, 0xc0, 0xd4, 0x72, 0xf0, 0xe0, 0xc3),
      {
        maxLength: 60,
      },
    )
    .map((bytes) => Uint8Array.from(bytes)),
  // A message with some changed bytes, such as strings that are not UTF-8.
  fc.tuple(jsonLike, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })).map(([value, changes]) => {
    const bytes = Uint8Array.from(encode(value));
    for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
    return bytes;
  }),
);

for (const encoding of ["msgpack", "json"] as const) {
  messagePack(`of any bytes is refused, or is plain data (${encoding})`, () => {
    check(
      fc.property(soup, (bytes) => {
        if (refusal(bytes, encoding) === "accepted") assert.ok(isPlain(decodeUntrusted(bytes, encoding)));
      }),
      { numRuns: 3_000 },
    );
  });
}

const json = suite("untrusted JSON");
const refusalOf = (text: string) => refusal(Buffer.from(text), "json");

json("is recognised by its first byte that is neither white space nor a byte order mark", () => {
  for (const before of ["", " ", "\n", "\r\n\t ", "\ufeff", "\n\ufeff\n"]) {
    for (const [text, value] of [
      ['{"a":1}', { a: 1 }],
      ["[1]", [1]],
    ] as const) {
      const bytes = Buffer.from(before + text);
      assert.is(encodingOf(bytes), "json", JSON.stringify(before));
      assert.equal(decodeUntrusted(bytes, "json"), value);
    }
  }
  for (const bytes of [" ", "\n\n", "\ufeff", " 1", '"{"'].map((text) => Buffer.from(text))) {
    assert.is(encodingOf(bytes), "msgpack");
  }
  assert.is(encodingOf(encode({ a: 1 })), "msgpack");
  assert.is(encodingOf(encode([1])), "msgpack");
  assert.is(encodingOf(new Uint8Array()), "msgpack");
});

json("is accepted unchanged", () => {
  check(
    fc.property(jsonLike, (value) => {
      const text = JSON.stringify(value);
      assert.equal(decodeUntrusted(Buffer.from(text), "json"), JSON.parse(text));
    }),
  );
});

json("is refused for the same reasons as MessagePack: numbers, depth, __proto__", () => {
  for (const number of ["1e400", "-1e400", "9007199254740992", "-9007199254740992"]) {
    const finite = Number.isFinite(Number(number));
    assert.is(refusalOf(`[{"a":${number}}]`), finite ? "accepted" : "not accepted: a number that is not finite");
  }
  assert.is(refusalOf('{"a":[{"__proto__":{}}]}'), "not accepted: a key named __proto__");
  assert.is(refusalOf('{"\\u005f_proto__":1}'), "not accepted: a key named __proto__");
  assert.is(refusalOf(`${"[".repeat(DEPTH_MAX)}${"]".repeat(DEPTH_MAX)}`), "accepted");
  for (const depth of [DEPTH_MAX + 1, 200_000]) {
    assert.is(
      refusalOf(`${"[".repeat(depth)}${"]".repeat(depth)}`),
      `not accepted: nested more than ${DEPTH_MAX} deep`,
    );
  }
});

/** How many bytes are looked at before a message is refused. */
function stepsOf(bytes: Uint8Array, find: typeof jsonFault): number {
  const fault = find(bytes) ?? find(bytes, true);
  assert.ok(fault !== undefined, "it is refused");
  assert.throws(
    () => decodeUntrusted(bytes, encodingOf(bytes)),
    (error: unknown) => error instanceof TidemarkError,
  );
  return fault.at;
}

const bounds = suite("the bounds of an untrusted message");

bounds("end its check where it has more values than allowed, whatever its size", () => {
  const half = 262_144;
  const long = 65_535;
  for (const size of [half, half * 2]) {
    const arrays = Buffer.from(`[${"[],".repeat(size / 3)}[]]`);
    const maps = Buffer.from(`[${"{},".repeat(size / 3)}{}]`);
    const numbers = Buffer.from(`{"a":[${"1,".repeat(size / 2)}1]}`);
    assert.is(stepsOf(arrays, jsonFault), (VALUES_MAX - 1) * 3 + 1);
    assert.is(stepsOf(maps, jsonFault), (VALUES_MAX - 1) * 3 + 1);
    assert.ok(stepsOf(numbers, jsonFault) <= VALUES_MAX * 2 + 6);
    assert.is(stepsOf(Buffer.alloc(size, "["), jsonFault), DEPTH_MAX + 1);
    assert.is(stepsOf(Buffer.from('{"a":'.repeat(size / 5)), jsonFault), DEPTH_MAX * 5 + 1);

    // The count stands before the values.
    const header = Buffer.from([0xdd, ...Buffer.from(size.toString(16).padStart(8, "0"), "hex")]);
    for (const value of [0x80, 0x90, 0xc0]) {
      assert.is(stepsOf(Buffer.concat([header, Buffer.alloc(size, value)]), messagePackFault), header.length);
    }
    const parts = Math.floor(size / (long + 3));
    const part = Buffer.concat([Buffer.from([0xdc, 0xff, 0xff]), Buffer.alloc(long, 0x80)]);
    const inParts = Buffer.concat([Buffer.from([0x90 + parts]), ...Array<Buffer>(parts).fill(part)]);
    assert.ok(stepsOf(inParts, messagePackFault) <= long + 8);
    assert.is(stepsOf(Buffer.alloc(size, 0x91), messagePackFault), DEPTH_MAX + 1);
  }
});

bounds("count a value once, a key as three, and empty containers once", () => {
  const entries = Math.floor((VALUES_MAX - 1) / (1 + VALUES_PER_KEY));
  const array = (length: number) => Array.from({ length }, () => 7);
  const map = (length: number) => Object.fromEntries(array(length).map((_, i) => [i, i % 2 === 0 ? {} : []]));
  const inParts = (length: number) => [array(length - 1 - entries * 4), map(entries)];
  for (const value of [array(VALUES_MAX - 1), map(entries), inParts(VALUES_MAX - 2)]) {
    assert.equal(decodeUntrusted(encode(value), "msgpack"), value);
    assert.equal(decodeUntrusted(Buffer.from(JSON.stringify(value)), "json"), value);
  }
  for (const beyond of [array(VALUES_MAX), map(entries + 1), inParts(VALUES_MAX - 1)]) {
    assert.is(messagePackFault(encode(beyond))?.code, "M_TOO_LARGE");
    assert.is(jsonFault(Buffer.from(JSON.stringify(beyond)))?.code, "M_TOO_LARGE");
  }
  assert.is(jsonFault(Buffer.from(`[${JSON.stringify(",{[".repeat(30_000))}]`)), undefined, "text is no value");
});

bounds("hold for what is pruned, too", () => {
  const deep = Buffer.concat([
    Buffer.from("81a161", "hex"),
    Buffer.alloc(DEPTH_MAX + 10, 0x91),
    Buffer.from("dd00020000", "hex"),
    Buffer.alloc(0x20000, 0x80),
  ]);
  assert.is(messagePackFault(deep)?.prunable, true);
  assert.is(messagePackFault(deep, true)?.code, "M_TOO_LARGE");
  assert.throws(
    () => decodePruned(deep, "msgpack", () => {}),
    (error: unknown) => error instanceof TidemarkError && error.code === "M_TOO_LARGE",
  );
});

json("is refused if it is malformed, or not UTF-8", () => {
  for (const text of ["", "{", '{"a":1}x', "{'a':1}", "[1,]", "[NaN]", "undefined"])
    assert.is(refusalOf(text), "not JSON", text);
  assert.is(refusal(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), "json"), "not JSON");
});

messagePack.run();
json.run();
bounds.run();
