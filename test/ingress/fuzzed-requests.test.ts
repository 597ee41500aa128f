/**
 * Bus requests of any bytes, on an ingress without a broker. Whatever comes: every request has one answer, nothing is thrown
 * past the edge, the log gets only valid entries, and honest neighbours are stored once.
 */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { hasEvent } from "../../actors/entry.ts";
import { encode } from "../../src/bus/contract/codec.ts";
import { isWholeEntry } from "../../src/bus/contract/log-entry.ts";
import { encodeToken } from "../../src/bus/contract/subjects.ts";
import { Ingress } from "../../src/ingress/ingress.ts";
import { DEPTH_MAX, REQUEST_BYTES_MAX } from "../../src/limits.ts";
import { decoded, eventually, message, pack, receipt } from "../support/harness.ts";
import { LoopbackBus } from "../support/loopback-bus.ts";
import { random } from "../support/random.ts";
import { decodedRecord, entriesOf } from "../support/records.ts";
import { cases, SEED } from "../support/tier.ts";

const KINDS = ["event", "backfill", "state", "receipt", "edu"] as const;
const ROOM = "!fuzz:a.org";
const HONEST_EVERY = 10;

/** Makes requests out of valid ones, by changes of bytes, of lengths and of whole parts. */
class Requests {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = random(seed);
  }

  next(): { readonly kind: (typeof KINDS)[number]; readonly bytes: Uint8Array } {
    const kind = this.#pick(KINDS);
    const value = this.#valid(kind);
    const json = this.#below(2) === 0;
    let bytes: Uint8Array = json ? Buffer.from(JSON.stringify(value)) : pack(value);
    for (let changes = this.#below(4); changes > 0; changes--) bytes = this.#changed(bytes);
    return { kind, bytes };
  }

  #valid(kind: (typeof KINDS)[number]): unknown {
    const id = `$${this.#below(1_000)}`;
    if (kind === "edu")
      return { [ROOM]: { "m.read": { "@u:a.org": { event_ids: [id], data: { ts: this.#below(9) } } } } };
    const one =
      kind === "receipt" ? receipt("@b:a.org", id) : message(id, { state_key: "", content: this.#content(0) });
    return this.#below(2) === 0 ? one : [one, one];
  }

  #content(depth: number): unknown {
    const entries = Array.from({ length: this.#below(4) }, () => [
      this.#pick(["a", "n", "m.relates_to", "__proto__", "toJSON"]),
      this.#value(depth + 1),
    ]);
    return Object.fromEntries(entries);
  }

  #value(depth: number): unknown {
    const scalars = [null, true, 1e22, 0.1, -1, "\ud800", "é", Number.NaN, []];
    return depth > 5 || this.#below(2) === 0 ? this.#pick(scalars) : this.#content(depth);
  }

  #changed(bytes: Uint8Array): Uint8Array {
    const at = this.#below(bytes.length + 1);
    switch (this.#below(6)) {
      case 0:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([this.#below(256)]), bytes.subarray(at + 1)]);
      case 1:
        return bytes.subarray(0, at);
      case 2:
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from([this.#pick(TOKENS), this.#below(256)]),
          bytes.subarray(at),
        ]);
      case 3:
        return Buffer.concat([bytes.subarray(0, at), bytes]);
      case 4:
        // As many as fit, and then a few more bytes than a request may have.
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.alloc(
            this.#pick([DEPTH_MAX, 5_000, Math.max(REQUEST_BYTES_MAX - bytes.length, 1), REQUEST_BYTES_MAX]),
            this.#pick(REPEATED),
          ),
          bytes.subarray(at),
        ]);
      default:
        return Buffer.concat([Buffer.from(this.#pick(["\ufeff", "\n", " ", "["])), bytes]);
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<Value>(values: readonly Value[]): Value {
    return values[this.#below(values.length)]!;
  }
}

const TOKENS = [
  0x80, 0x8f, 0x90, 0x9f, 0xbf, 0xc1, 0xc4, 0xc7, 0xcb, 0xcf, 0xd4, 0xd9, 0xdb, 0xdd, 0xdf, 0x22, 0x5b, 0x7b,
];
const REPEATED = ["[", "{", '{"":', "[],", "{},", "1,", "\x80", "\x90", "\x91", "\x81\xa0", "\0"].map((text) =>
  Buffer.from(text, "latin1"),
);

const fuzz = suite("fuzzed requests");

fuzz("get one answer each, store only valid entries, and leave their neighbours alone", async () => {
  const bus = new LoopbackBus();
  const failures: unknown[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => failures.push(line) });
  const ingress = new Ingress({ nc: bus.nc, partitions: 1, log });
  const requests = new Requests(SEED);
  const honest: string[] = [];
  const runs = cases(3_000);
  for (let i = 0; i < runs; i++) {
    const { kind, bytes } = requests.next();
    bus.request(`tidemark.in.${kind}.${encodeToken(kind === "edu" ? "a.org" : ROOM)}`, bytes);
    if (i % HONEST_EVERY === 0) {
      honest.push(`$honest${i}`);
      bus.request(`tidemark.in.event.${encodeToken(ROOM)}`, encode(message(`$honest${i}`)));
    }
    if (i % 50 === 0) await new Promise(setImmediate);
  }
  await eventually(() => bus.replies.length >= runs + honest.length, "an answer to each request");
  await ingress.drain();
  assert.equal(failures, [], `seed ${SEED}`);
  assert.is(bus.replies.length, runs + honest.length);
  for (const reply of bus.replies) assert.type(decoded(reply).ok, "boolean");
  const stored = new Map<string, number>();
  bus.records.forEach((bytes, i) => {
    for (const entry of entriesOf(decodedRecord(i + 1, bytes))) {
      assert.ok(isWholeEntry(entry));
      const id = hasEvent(entry) ? entry[1].event_id : "";
      if (id.startsWith("$honest")) stored.set(id, (stored.get(id) ?? 0) + 1);
    }
  });
  assert.equal(Object.fromEntries(stored), Object.fromEntries(honest.map((id) => [id, 1])));
});

fuzz.run();
