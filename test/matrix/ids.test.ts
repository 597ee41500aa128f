import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eventId, roomId, serverName, serverOf, threadId, type UserId, userId } from "../../src/matrix/ids.ts";

const KINDS = {
  "server name": serverName,
  "user id": userId,
  "room id": roomId,
  "event id": eventId,
  thread: threadId,
};

/** What servers must accept, and what would hurt in a subject if it were not encoded. */
const ODD: Record<string, string> = {
  "a space": " ",
  "a tab": "\t",
  CRLF: "\r\n",
  "a line feed": "\n",
  "a no-break space": "\u00a0",
  "a line separator": "\u2028",
  "a byte order mark": "\ufeff",
  DEL: "\x7f",
  "a C1 control": "\x85",
  "a star": "*",
  "a greater-than": ">",
  "an at sign": "@",
  "a dot": ".",
  "a percent sign": "%",
};

const ACCEPTED: Record<keyof typeof KINDS, string[]> = {
  "server name": [
    "example.org",
    "EXAMPLE.org",
    "localhost",
    "example.org:8448",
    "127.0.0.1",
    "127.0.0.1:1",
    "[::1]",
    "[2001:db8::1]:8448",
    "xn--bcher-kva.example",
    "a".repeat(255),
  ],
  "user id": [
    "@a:example.org",
    "@:example.org",
    "@a/b=c.d_e+f-g:example.org",
    "@UPPER:example.org",
    "@zoë:example.org",
    "@😀:example.org",
    "@a:[2001:db8::1]:8448",
    "@a:1.2.3.4:80",
    `@${"a".repeat(242)}:example.org`,
    `@${"😀".repeat(242)}:example.org`,
    ...Object.values(ODD).flatMap((text) => [`@a${text}b:example.org`, `@${text}:example.org`]),
  ],
  "room id": [
    "!a:example.org",
    "!a:[::1]:8448",
    "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
    "!a.b%c",
    `!${"a".repeat(254)}`,
    `!${"😀".repeat(254)}`,
    "!a:exa_mple.org",
    ...Object.values(ODD).flatMap((text) => [`!a${text}b:example.org`, `!${text}`, `!a:b.org${text}`]),
  ],
  "event id": [
    "$a:example.org",
    "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk",
    "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",
    "$__proto__",
    `$${"a".repeat(254)}`,
    `$${"😀".repeat(254)}`,
    ...Object.values(ODD).flatMap((text) => [`$a${text}b`, `$${text}`, `$a${text}`]),
  ],
  thread: ["main", "$root", "$a b"],
};

/** What no identifier may contain. */
const HURTFUL: Record<string, string> = {
  NUL: "\0",
  "a high surrogate alone": "\ud800",
  "a low surrogate alone": "\udc00",
  "surrogates the wrong way round": "\udc00\ud800",
};

const REFUSED: Record<keyof typeof KINDS, string[]> = {
  "server name": [
    "",
    ":8448",
    "example.org:",
    "example.org:123456",
    "example.org:80a",
    "exa_mple.org",
    "::1",
    "[::1",
    "[zz]",
    "exämple.org",
    "example.org/",
    "@a:example.org",
    "a".repeat(256),
    ...[...Object.values(HURTFUL), " ", "\t", "\r\n", "\n", "*", ">", "é"].flatMap((text) => [
      `a${text}b`,
      `${text}a`,
      `a${text}`,
    ]),
  ],
  "user id": [
    "",
    "@",
    "@a",
    "@a:",
    "a:example.org",
    "!a:example.org",
    "@a:b:example.org",
    "@a:exa_mple.org",
    "@a:example.org:",
    "__proto__",
    `@${"a".repeat(243)}:example.org`,
    `@${"😀".repeat(243)}:example.org`,
    "@a:example.org\n",
    ...Object.values(HURTFUL).flatMap((text) => [`@a${text}b:example.org`, `@a:example${text}.org`, `@a:b.org${text}`]),
  ],
  "room id": [
    "",
    "!",
    "a:example.org",
    "#a:example.org",
    "$a",
    "__proto__",
    `!${"a".repeat(255)}`,
    `!${"😀".repeat(255)}`,
    ...Object.values(HURTFUL).flatMap((text) => [`!a${text}b:example.org`, `!${text}`, `!a:b.org${text}`]),
  ],
  "event id": [
    "",
    "$",
    "a",
    "!a:example.org",
    "__proto__",
    `$${"a".repeat(255)}`,
    `$${"😀".repeat(255)}`,
    ...Object.values(HURTFUL).flatMap((text) => [`$a${text}b`, `$${text}`, `$a${text}`]),
  ],
  thread: ["", "Main", "main ", "main\n", "$", "@a:example.org", "null"],
};

const ids = suite("identifiers");

for (const [name, schema] of Object.entries(KINDS)) {
  const kind = name as keyof typeof KINDS;
  ids(`accepts each ${name} unchanged`, () => {
    for (const text of ACCEPTED[kind]) assert.is(schema.parse(text), text);
  });

  ids(`refuses an invalid ${name}`, () => {
    for (const text of REFUSED[kind]) assert.not(schema.safeParse(text).success, JSON.stringify(text));
  });

  ids(`refuses a ${name} that is not a string`, () => {
    for (const value of [undefined, null, 7, true, [], {}, ["$a"], new String("$a")]) {
      assert.not(schema.safeParse(value).success, String(value));
    }
  });
}

ids("are refused with a message that shows the format", () => {
  const [issue] = userId.safeParse("@a").error?.issues ?? [];
  assert.match(issue?.message ?? "", "must be a user id (@localpart:server, at most 255 characters");
});

ids("of users name their server: what follows the first colon", () => {
  assert.is(serverOf("@a:example.org" as UserId), "example.org");
  assert.is(serverOf("@a:[2001:db8::1]:8448" as UserId), "[2001:db8::1]:8448");
  for (const text of Object.values(ODD)) assert.is(serverOf(userId.parse(`@${text}a:example.org`)), "example.org");
});

ids.run();
