import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  countsAsRead,
  isFederated,
  isPrivate,
  isThreaded,
  RECEIPT_TYPES,
  shownAs,
  typesOf,
} from "../../src/matrix/receipt-types.ts";

const types = suite("receipt types");

types("have the rules of the specification", () => {
  const rules = RECEIPT_TYPES.map((type) => [
    type,
    isPrivate(type),
    isThreaded(type),
    countsAsRead(type),
    isFederated(type),
    shownAs(type),
  ]);
  assert.equal(rules, [
    ["m.read", false, true, true, true, "m.receipt"],
    ["m.read.private", true, true, true, false, "m.receipt"],
    ["m.fully_read", true, false, false, false, "m.fully_read"],
  ]);
});

types("never leave the server when they are private", () => {
  for (const type of RECEIPT_TYPES) assert.not.ok(isPrivate(type) && isFederated(type), type);
});

types("are private and unthreaded if clients get them as account data, which has one event per user", () => {
  for (const type of RECEIPT_TYPES) {
    if (shownAs(type) !== "m.receipt") assert.ok(isPrivate(type) && !isThreaded(type), type);
  }
});

types("are accepted from other servers only if they federate", () => {
  for (const text of ["m.read.private", "m.seen", "", "constructor"]) assert.not.ok(isFederated(text), text);
});

types("are listed as in a sentence", () => {
  assert.is(
    typesOf(() => true),
    "m.read, m.read.private or m.fully_read",
  );
  assert.is(typesOf(isFederated), "m.read");
});

types.run();
