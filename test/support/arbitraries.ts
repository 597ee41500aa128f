/**
 * Histories of a room, for properties: few users, events, threads and servers, so that everything meets everything:
 * duplicates, receipts before their events, relations and redactions of events known and unknown.
 */
import * as fc from "fast-check";
import { type Entry, positionOf, UNKNOWN_THREAD } from "../../actors/entry.ts";
import type { ServerName, UserId } from "../../src/matrix/ids.ts";
import { FULLY_READ, READ, READ_PRIVATE, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import { acl, backfilled, erasure, history as historical, live, member, receipt, relates, state } from "./entries.ts";
import { ALICE, BASE, BOB, CARA, TWO } from "./example-room.ts";

const DAN = "@dan:[2001:db8::1]:8448" as UserId;
export const USERS: readonly UserId[] = [ALICE, BOB, CARA, DAN];
const ORIGINS: readonly (readonly [UserId, string])[] = [
  [CARA, TWO],
  [DAN, "[2001:db8::1]:8448"],
];
export const EVENT_IDS: readonly string[] = Array.from({ length: 10 }, (_, i) => `$${i}`);

export interface Positioned {
  readonly position: number;
  readonly entry: Entry;
}

/** No event id, and longer than a key of the store may be. */
const LONG = `$${"x".repeat(2_000)}`;

const id = fc.constantFrom(...EVENT_IDS);
const user = fc.constantFrom(...USERS);

const malformed = fc.constantFrom(
  null,
  "m.thread",
  [],
  {},
  { rel_type: "m.thread" },
  { rel_type: "m.thread", event_id: "no id" },
  { rel_type: 7, event_id: "$1" },
  { rel_type: "m.thread", event_id: LONG },
  { rel_type: "m.replace", event_id: LONG },
  { "m.in_reply_to": { event_id: "$1" } },
);

const membership = fc
  .tuple(
    user,
    fc.constantFrom("join", "join", "leave", "invite", "ban", 7),
    fc.constantFrom(undefined, "join", "leave"),
  )
  .map(([user, membership, before]) => ({
    ...member(user, membership as string),
    ...(before !== undefined && { unsigned: { prev_content: { membership: before } } }),
  }));

const accessList = fc.constantFrom(
  acl({ allow: ["*"] }),
  acl({ allow: ["*"], deny: ["T?O.*"] }),
  acl({ allow: ["*"], allow_ip_literals: false }),
  acl({ allow: ["one.example", 7] }),
  acl({ deny: [] }),
);

const message = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ content: { msgtype: "m.notice", body: "…" } }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("m.poll.start", "m.call.hangup", "m.room.encrypted").map((type) => ({ type })),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom("m.thread", "m.replace", "m.annotation", "m.reference"), id)
      .map(([relType, target]) => ({ content: relates(relType, target) })),
  },
  { weight: 2, arbitrary: id.map((target) => ({ type: "m.reaction", content: relates("m.annotation", target) })) },
  { weight: 2, arbitrary: id.map((redacts) => ({ type: "m.room.redaction", redacts, content: {} })) },
  { weight: 2, arbitrary: id.map((redacts) => ({ type: "m.room.redaction", content: { redacts } })) },
  { weight: 1, arbitrary: fc.constant({ type: "m.room.redaction", content: { redacts: LONG } }) },
  { weight: 1, arbitrary: malformed.map((relation) => ({ content: { "m.relates_to": relation } })) },
);

const stateFields = fc.oneof({ weight: 3, arbitrary: membership }, { weight: 2, arbitrary: accessList });
const fields = fc
  .tuple(user, fc.oneof({ weight: 8, arbitrary: message }, { weight: 1, arbitrary: stateFields }))
  .map(([sender, fields]) => ({ sender, ...fields }));

const type = fc.constantFrom<ReceiptType>(READ, READ, READ_PRIVATE, FULLY_READ);
const named = fc.option(fc.oneof(fc.constant("main"), id), { nil: undefined });

/** `plain`: of known thread, and only `m.fully_read` is accepted by a homeserver. */
const localReceipt = (plain: boolean) =>
  fc
    .tuple(
      user,
      id,
      type,
      plain ? named : fc.oneof({ weight: 3, arbitrary: named }, { weight: 1, arbitrary: fc.constant(UNKNOWN_THREAD) }),
      fc.nat(1_000),
      fc.constantFrom(undefined, undefined, undefined, true as const),
    )
    .map(([user, id, type, thread, ts, accepted]) =>
      receipt(user, id, {
        type,
        ts,
        ...(thread !== undefined && type !== FULLY_READ && { thread }),
        ...(accepted && (!plain || type === FULLY_READ) && { accepted }),
      }),
    );
const remoteReceipt = fc.tuple(fc.constantFrom(...ORIGINS), id, named, fc.nat(1_000)).map(([from, id, thread, ts]) => {
  const [user, origin] = from;
  return receipt(user, id, { ts, origin: origin as ServerName, ...(thread !== undefined && { thread }) });
});

/** Of users who go on to send receipts, some of which are older. */
const erased = fc
  .tuple(user, fc.nat(1_000), fc.subarray([...EVENT_IDS]))
  .map(([user, before, events]) => erasure(user, before, ...events));

/** Clients don't learn of erasures, so a plain history has none. */
const entry = (plain: boolean): fc.Arbitrary<Entry> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(id, fields).map(([id, fields]) => live(id, fields)) },
    { weight: 2, arbitrary: fc.tuple(id, fields).map(([id, fields]) => historical(id, fields)) },
    { weight: 2, arbitrary: fc.tuple(id, fields).map(([id, fields]) => backfilled(id, fields)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(id, stateFields, fc.option(fc.integer({ min: BASE, max: BASE + 8 }), { nil: undefined }))
        .map(([id, fields, asOf]) => state(id, fields, asOf)),
    },
    { weight: 8, arbitrary: localReceipt(plain) },
    { weight: 4, arbitrary: remoteReceipt },
    ...(plain ? [] : [{ weight: 1, arbitrary: erased }]),
  );

/** Entries at growing positions: records of some entries each, with records of other rooms between them. */
const historyOf = (plain: boolean): fc.Arbitrary<Positioned[]> =>
  fc
    .array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.array(entry(plain), { minLength: 1, maxLength: 4 })), {
      minLength: 1,
      maxLength: 30,
      size: "max",
    })
    .map((records) => {
      let sequence = 0;
      return records.flatMap(([step, entries]) => {
        sequence += step;
        return entries.map((entry, index) => ({ position: positionOf(sequence, index), entry }));
      });
    });

export const history = historyOf(false);
/** A history in which all threads are known, and no marker but `m.fully_read` goes back. */
export const plainHistory = historyOf(true);
