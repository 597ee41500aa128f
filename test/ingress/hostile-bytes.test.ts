/** Requests that can't be decoded, or carried: size, depth, encoding, values (docs/design.md#the-bus-contract, E11). */
import * as fc from "fast-check";
import { Packr } from "msgpackr";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  eventWith,
  nested,
  prunedValues,
  ROOM,
  ROOM_REQUESTS,
  serves,
  subjectOf,
  withoutStack,
  withstood,
} from "../support/attacks.ts";
import { type Body, decoded, message, pack, startTidemark, token } from "../support/harness.ts";
import { checkAsync } from "../support/property.ts";

const hostile = suite("hostile bytes");

hostile("a request of more than half a MiB is refused before it is decoded", async () => {
  await using tidemark = await startTidemark();
  const size = 524_288 + 1;
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind) => [
      { name: kind, subject: subjectOf(kind), bytes: Buffer.alloc(size, "["), errcode: "M_TOO_LARGE" },
      { name: kind, subject: subjectOf(kind), bytes: Buffer.alloc(size, 0x91), errcode: "M_TOO_LARGE" },
    ]),
  );
});

hostile("an event of 65 537 bytes as JSON has its place without content, and one of 65 536 with it", async () => {
  await using tidemark = await startTidemark();
  const sized = (bytes: number, char = "x") => {
    const event = message("$1", { state_key: "", content: { body: "" } });
    const fill = bytes - Buffer.byteLength(JSON.stringify(event));
    return { ...event, content: { body: char.repeat(Math.floor(fill / (JSON.stringify(char).length - 2))) } };
  };
  for (const kind of ["event", "history", "backfill", "state"] as const) {
    // As MessagePack a control character is one byte, as JSON six.
    for (const event of [sized(65_537), sized(65_600, "\u0001"), sized(65_536)]) await tidemark.sent(kind, ROOM, event);
  }
  const stored = (await Promise.all([0, 1].map((partition) => tidemark.records(partition)))).flat();
  assert.equal(
    stored.flatMap(({ entries }) => entries.map(([, event]: Body) => Object.keys(event.content))),
    Array.from({ length: 4 }, () => [[], [], ["body"]]).flat(),
  );
  assert.is(await prunedValues(tidemark), 8);
});

hostile("nesting deeper than 64 is refused in both encodings, at any depth", async () => {
  await using tidemark = await startTidemark();
  const depths = [65, 5_000, 250_000];
  const bodies = [
    ...depths.map((depth) => nested(depth, "[", "]")),
    ...depths.map((depth) => Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([0xc0])])),
    nested(15_000, '{"":', "}").subarray(0, 70_000), // truncated
  ];
  await withstood(
    tidemark,
    [...ROOM_REQUESTS, "edu"].flatMap((kind) =>
      bodies.map((bytes, i) => ({ name: `${kind} ${i}`, subject: subjectOf(kind), bytes, errcode: "M_BAD_JSON" })),
    ),
  );
});

hostile("malformed MessagePack, and unsupported values in it, are refused", async () => {
  await using tidemark = await startTidemark();
  const records = new Packr({ useRecords: true, structures: [] });
  const values: Record<string, Uint8Array> = {
    "a fixed extension": Buffer.from([0xd4, 0x00, 0x00]),
    "an extension of 8 bits": Buffer.from([0xc7, 0x01, 0x05, 0x00]),
    "an extension of 32 bits": Buffer.from([0xc9, 0, 0, 0, 1, 0x05, 0]),
    "a timestamp": pack(new Date(1_700_000_000_000)),
    undefined: new Packr().pack(undefined),
    "a set": new Packr({ moreTypes: true }).pack(new Set([1])),
    "an error": new Packr({ moreTypes: true }).pack(new Error("x")),
    "a regular expression": new Packr({ moreTypes: true }).pack(/x/),
    "a record definition": records.pack({ one: 1, two: 2 }),
    "binary data": pack(Buffer.from("abc")),
    "the token that is never used": Buffer.from([0xc1]),
    "a map with an integer key": Buffer.from([0x81, 0x01, 0x01]),
    "a map with a nil key": Buffer.from([0x81, 0xc0, 0x01]),
    "a string that ends too early": Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff]),
    "an array of four thousand millions": Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
  };
  await withstood(
    tidemark,
    Object.entries(values).flatMap(([name, value]) => [
      { name: `${name} inside`, subject: subjectOf("event"), bytes: eventWith(value), errcode: "M_BAD_JSON" },
      ...[...ROOM_REQUESTS, "edu"].map((kind) => ({
        name: `${name} alone on ${kind}`,
        subject: subjectOf(kind),
        bytes: value,
        errcode: "M_BAD_JSON",
      })),
    ]),
  );
});

hostile("a value that can't be carried is refused alone, and goes alone inside an event", async () => {
  await using tidemark = await startTidemark();
  const values: Record<string, Uint8Array> = {
    NaN: Buffer.from([0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
    infinity: pack(Number.POSITIVE_INFINITY),
    "a map with __proto__": Buffer.concat([Buffer.from([0x81]), pack("__proto__"), Buffer.from([0x80])]),
    "a deep map": Buffer.concat([Buffer.alloc(15_000 * 2, Buffer.from([0x81, 0xa0])), Buffer.from([0xc0])]),
  };
  await withstood(
    tidemark,
    Object.entries(values).flatMap(([name, value]) => [
      ...[...ROOM_REQUESTS, "edu"].map((kind) => ({
        name: `${name} alone on ${kind}`,
        subject: subjectOf(kind),
        bytes: Buffer.concat([Buffer.from([0x91]), value]),
        // A map is an event, which has no id.
        errcode: /map/.test(name) && kind !== "receipt" ? "M_INVALID_PARAM" : "M_BAD_JSON",
      })),
      { name: `${name} in a receipt`, subject: subjectOf("receipt"), bytes: eventWith(value), errcode: "M_BAD_JSON" },
    ]),
  );
  const before = await prunedValues(tidemark);
  for (const value of [...Object.values(values), pack(2n ** 64n - 1n), pack(-(2n ** 62n)), pack(1e22)]) {
    const raw = await tidemark.request(subjectOf("event"), eventWith(value));
    assert.is(decoded(raw).ok, true, JSON.stringify(decoded(raw)));
  }
  for (const content of ['{"n":18446744073709551616}', '{"n":1e999}', '{"__proto__":{"x":1}}', '{"a":["\\ud800"]}']) {
    const bytes = Buffer.from(JSON.stringify(message("$1")).replace(/"content":\{[^}]*\}/, `"content":${content}`));
    assert.is(decoded(await tidemark.request(subjectOf("event"), bytes)).ok, true, content);
  }
  assert.is((await prunedValues(tidemark)) - before, Object.keys(values).length + 3);
});

hostile("an event keeps its meaning when one of its values is pruned", async () => {
  await using tidemark = await startTidemark();
  const send = (text: string) => tidemark.request(subjectOf("event"), Buffer.from(text));
  const base = (id: string) => `"event_id":"${id}","sender":"@a:a.org","origin_server_ts":1`;
  for (const text of [
    `{${base("$acl")},"type":"m.room.server_acl","state_key":"","content":{"allow":["*"],"n":1e999}}`,
    `{${base("$join")},"type":"m.room.member","state_key":"@u:b.org","content":{"membership":"join","__proto__":{}}}`,
    `{${base("$root")},"type":"m.room.message","content":{"n":1e22}}`,
    `{${base("$reply")},"type":"m.room.message","content":{"n":1e999,"m.relates_to":{"rel_type":"m.thread","event_id":"$root"}}}`,
  ]) {
    assert.is(decoded(await send(text)).ok, true, text);
  }
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const item = { event_ids: ["$reply"], data: { ts: 1, thread_id: "$root" } };
  const edu = await tidemark.send("edu", "b.org", { [ROOM]: { "m.read": { "@u:b.org": item } } });
  assert.is(edu.accepted, 1);
  await client.next((body) => body.event.content.$reply?.["m.read"]["@u:b.org"].thread_id === "$root");
  const { event } = await tidemark.query(ROOM, { op: "event", event_id: "$root" });
  assert.equal(event.content, { n: 1e22 });
});

hostile("JSON with NaN or invalid UTF-8 is refused", async () => {
  await using tidemark = await startTidemark();
  const inEvent = (content: string) =>
    Buffer.from(JSON.stringify(message("$1")).replace(/"content":\{[^}]*\}/, `"content":${content}`));
  const contents = ['{"n":NaN}', '{"n":0x1}', '{"a":[1,]}'];
  await withstood(tidemark, [
    ...contents.map((content) => ({
      name: content,
      subject: subjectOf("event"),
      bytes: inEvent(content),
      errcode: "M_BAD_JSON",
    })),
    { name: "latin1", subject: subjectOf("event"), bytes: Buffer.from('{"ü":1}', "latin1"), errcode: "M_BAD_JSON" },
  ]);
});

hostile("random bytes on every subject get an error, or are a valid request", async () => {
  await using tidemark = await startTidemark();
  const event = pack(message("$1", { state_key: "" }));
  const subjects = [...[...ROOM_REQUESTS, "edu"].map(subjectOf), `tidemark.query.${token(ROOM)}`];
  const damaged = fc
    .array(fc.tuple(fc.nat(event.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const bytes = Uint8Array.from(event);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    });
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(...subjects),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        damaged,
        fc.json().map((text) => Buffer.from(text)),
      ),
      async (subject, bytes) => {
        const raw = await tidemark.request(subject, bytes);
        const reply = decoded(raw);
        assert.type(reply.ok, "boolean");
        if (!reply.ok) assert.ok(["M_BAD_JSON", "M_INVALID_PARAM"].includes(reply.errcode), JSON.stringify(reply));
        withoutStack(raw, Buffer.from(bytes).toString("hex"));
      },
    ),
    { numRuns: 400 },
  );
  await serves(tidemark);
});

hostile.run();
