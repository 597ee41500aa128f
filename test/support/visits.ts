/** Histories of a room in which people come and go, and who may read it changes: for properties about who sees what. */
import * as fc from "fast-check";
import type { Entry } from "../../actors/entry.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { backfilled, history, live, member, state } from "./entries.ts";
import { ALICE, BASE, BOB, CARA } from "./example-room.ts";

export const VISITED_USERS: readonly UserId[] = [ALICE, BOB, CARA];

const MEMBERSHIPS = ["join", "join", "join", "leave", "leave", "invite", "ban", "knock", 7];
const VISIBILITIES = ["world_readable", "shared", "shared", "invited", "joined", "joined", "weird", null];

/** `prev_content`, sometimes. */
const before = (contents: fc.Arbitrary<object>) =>
  fc.option(contents, { nil: undefined }).map((prev_content) => (prev_content ? { unsigned: { prev_content } } : {}));

const membership = fc.constantFrom(...MEMBERSHIPS).map((membership) => ({ membership }));
const visibility = fc.constantFrom(...VISIBILITIES).map((history_visibility) => ({ history_visibility }));

const members = fc
  .tuple(fc.constantFrom(...VISITED_USERS), membership, before(membership))
  .map(([user, content, unsigned]) => ({ ...member(user, ""), content, ...unsigned }));
const visibilities = fc
  .tuple(visibility, before(visibility))
  .map(([content, unsigned]) => ({ type: "m.room.history_visibility", state_key: "", content, ...unsigned }));
const names = fc.constant({ type: "m.room.name", state_key: "" });
const states = fc.oneof(
  { weight: 4, arbitrary: members },
  { weight: 2, arbitrary: visibilities },
  { weight: 1, arbitrary: names },
);
const events = fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 4, arbitrary: states });

/** Some ids come again: duplicates, and `state` entries of events that are known or come later. */
const id = fc.integer({ min: 0, max: 40 }).map((n) => `$${n}`);
const asOf = fc.option(fc.constantFrom(0, BASE, BASE + 1, BASE + 2, BASE + 4, BASE + 8), { nil: undefined });

const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(id, events).map(([id, fields]) => live(id, fields)) },
  { weight: 2, arbitrary: fc.tuple(id, events).map(([id, fields]) => history(id, fields)) },
  { weight: 1, arbitrary: fc.tuple(id, events).map(([id, fields]) => backfilled(id, fields)) },
  { weight: 2, arbitrary: fc.tuple(id, states, asOf).map(([id, fields, asOf]) => state(id, fields, asOf)) },
);

export const visits: fc.Arbitrary<Entry[]> = fc.array(entry, { minLength: 1, maxLength: 40, size: "max" });
