import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  clientEvents,
  clientReceipts,
  decodeToken,
  encodeToken,
  inSubject,
  lastToken,
  logSubject,
  querySubject,
  rejectedSubject,
  userReceipts,
} from "../../../src/bus/contract/subjects.ts";
import type { RoomId, ServerName, UserId } from "../../../src/matrix/ids.ts";
import { check } from "../../support/property.ts";

const ROOM = "!a:example.org" as RoomId;
const USER = "@a:example.org" as UserId;

/** Any string without lone surrogates. */
const wellFormed = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("%", ".", "*", ">", " ", "\r", "\n", "\0", "é", "😀", "a", "2", "E", "e") }),
);

const token = suite("token");

token("keeps safe characters, and percent-encodes others in upper case", () => {
  const safe = "AZaz09!#$:_=/+~-";
  assert.is(encodeToken(safe), safe);
  assert.is(encodeToken("!a:example.org"), "!a:example%2Eorg");
  assert.is(encodeToken("é😀 *>%\0\r\n"), "%C3%A9%F0%9F%98%80%20%2A%3E%25%00%0D%0A");
});

token("decodes to its string", () => {
  check(fc.property(wellFormed, (text) => assert.is(decodeToken(encodeToken(text)), text)));
});

token("is a single token of safe characters", () => {
  check(fc.property(wellFormed, (text) => assert.match(encodeToken(text), /^[A-Za-z0-9!#$:_=/+~%-]*$/)));
});

token("is refused if it is not the canonical one of its string", () => {
  check(
    fc.property(
      fc.string({ unit: fc.constantFrom("%", "2", "4", "1", "E", "e", "C", "3", "A", "9", ".", "a") }),
      (text) => {
        const decoded = decodeToken(text);
        if (decoded !== undefined) assert.is(encodeToken(decoded), text);
      },
    ),
  );
  for (const text of [
    "%41",
    "%2e",
    "%2",
    "%",
    "%zz",
    "a.b",
    "a b",
    "a*",
    ">",
    "é",
    "%C3",
    "%C0%AE",
    "%ED%A0%80",
    "%FF",
  ]) {
    assert.is(decodeToken(text), undefined, text);
  }
});

const subjects = suite("subjects");

subjects("are those of the contract", () => {
  assert.equal(
    [
      inSubject.event(ROOM),
      inSubject.edu("example.org:8448" as ServerName),
      logSubject(3, ROOM),
      clientEvents(3, ROOM),
      clientReceipts(3, ROOM),
      userReceipts(3, USER),
      rejectedSubject(3, ROOM),
      querySubject(ROOM),
    ],
    [
      "tidemark.in.event.!a:example%2Eorg",
      "tidemark.in.edu.example%2Eorg:8448",
      "tidemark.log.3.!a:example%2Eorg",
      "tidemark.client.3.!a:example%2Eorg.events",
      "tidemark.client.3.!a:example%2Eorg.receipts",
      "tidemark.user.3.%40a:example%2Eorg.receipts",
      "tidemark.rejected.3.!a:example%2Eorg",
      "tidemark.query.!a:example%2Eorg",
    ],
  );
});

subjects("have the same number of tokens for any room, and its id is the last one of a log subject", () => {
  check(
    fc.property(wellFormed, (text) => {
      const subject = logSubject(0, text as RoomId);
      assert.is(subject.split(".").length, 4);
      assert.is(decodeToken(lastToken(subject)), text);
      assert.is(clientEvents(0, text as RoomId).split(".").length, 5);
    }),
  );
});

token.run();
subjects.run();
