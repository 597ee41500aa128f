import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ACL_PATTERN_CHARS_MAX } from "../../src/limits.ts";
import { HostPatterns } from "../../src/matrix/host-patterns.ts";
import type { ServerName } from "../../src/matrix/ids.ts";
import { ACL_CACHE_MAX, serverAcl } from "../../src/matrix/server-acl.ts";
import { check } from "../support/property.ts";

const allows = (content: Record<string, unknown>, server: string) => serverAcl(content)(server as ServerName);

const acl = suite("server ACL (F9)");

acl("allows servers that match allow, and denies others", () => {
  assert.ok(allows({ allow: ["*"] }, "example.org"));
  assert.ok(allows({ allow: ["a.org", "b.org"] }, "b.org"));
  assert.not(allows({ allow: ["a.org"] }, "b.org"));
});

acl("gives deny priority over allow", () => {
  assert.not(allows({ allow: ["*", "evil.org"], deny: ["evil.org"] }, "evil.org"));
  assert.ok(allows({ allow: ["*"], deny: ["evil.org"] }, "example.org"));
});

acl("denies everybody if allow is missing, empty or malformed", () => {
  for (const allow of [undefined, [], null, "*", { 0: "*" }, [7, null, ["*"]]]) {
    assert.not(allows({ allow }, "example.org"), JSON.stringify(allow));
  }
});

acl("denies nobody if deny is missing or malformed", () => {
  for (const deny of [undefined, [], null, "*", [7, null, ["*"]]]) {
    assert.ok(allows({ allow: ["*"], deny }, "example.org"), JSON.stringify(deny));
  }
});

acl("ignores case and port", () => {
  assert.not(allows({ allow: ["*"], deny: ["EVIL.org"] }, "evil.ORG:8448"));
  assert.ok(allows({ allow: ["Example.Org"] }, "eXAMPLE.org:1"));
  assert.not(allows({ allow: ["example.org:8448"] }, "example.org:8448"));
});

acl("takes a name with a dot at its end for the same host (I21b)", () => {
  for (const deny of ["evil.org", "evil.org.", "*.org", "EVIL.ORG."]) {
    for (const server of ["evil.org", "evil.org.", "evil.org.:8448", "evil.org.."]) {
      assert.not(allows({ allow: ["*"], deny: [deny] }, server), `${deny} ${server}`);
    }
  }
  assert.ok(allows({ allow: ["good.org"] }, "good.org."));
  assert.ok(allows({ allow: ["*"], deny: ["*."] }, "good.org"), "that pattern is no name of every host");
  for (const server of ["1.2.3.4.", "0x7f.0.0.1."]) {
    assert.not(allows({ allow: ["*"], allow_ip_literals: false }, server), server);
  }
});

acl("ignores items and keys that are no strings, one by one", () => {
  assert.ok(allows({ allow: ["*"], n: 1e22 }, "example.org"));
  const deny = [1e22, null, { evil: 1 }, ["evil.org"], true, "evil.org"];
  assert.ok(allows({ allow: [7, "*"], deny }, "example.org"));
  assert.not(allows({ allow: [7, "*"], deny }, "evil.org"));
});

acl("takes every name that ends in a number for an IP literal, as resolvers do (I21b)", () => {
  for (const server of [
    "0x7f.0.0.1",
    "1.2.3",
    "2130706433",
    "0x7f000001",
    "127.1:80",
    "0300.0.0.1",
    "example.1",
    "0x",
  ]) {
    assert.not(allows({ allow: ["*"], allow_ip_literals: false }, server), server);
    assert.ok(allows({ allow: ["*"] }, server), server);
  }
  for (const server of ["1.example", "x1", "0x7g", "1.2.3.4a", "4.com"]) {
    assert.ok(allows({ allow: ["*"], allow_ip_literals: false }, server), server);
  }
});

acl("denies IP literals unless it allows them, with or without ports and brackets", () => {
  for (const server of ["1.2.3.4", "1.2.3.4:8448", "[::1]", "[2001:DB8::1]:8448"]) {
    assert.not(allows({ allow: ["*"], allow_ip_literals: false }, server), server);
    assert.ok(allows({ allow: ["*"], allow_ip_literals: true }, server), server);
    assert.ok(allows({ allow: ["*"] }, server), server);
    assert.ok(allows({ allow: ["*"], allow_ip_literals: "false" }, server), server);
  }
  assert.ok(allows({ allow: ["*"], allow_ip_literals: false }, "1.2.3.4.example.org"));
});

acl("matches IP literals with globs", () => {
  assert.not(allows({ allow: ["*"], deny: ["1.2.*"] }, "1.2.3.4:80"));
  assert.not(allows({ allow: ["*"], deny: ["[2001:db8::*]"] }, "[2001:db8::1]:8448"));
});

acl("gives the same result for a server each time, also with more servers than it caches", () => {
  const judge = serverAcl({ allow: ["*.good.org"] });
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i <= ACL_CACHE_MAX; i++) {
      assert.ok(judge(`s${i}.good.org` as ServerName));
      assert.not(judge(`s${i}.bad.org` as ServerName));
    }
  }
});

const glob = suite("glob");

const MATCHES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["*", ["a", "a.b", ""], []],
  ["", [""], ["a"]],
  ["?", ["a", "."], ["", "ab"]],
  ["*.org", ["a.org", ".org", "a.b.org"], ["org", "a.org.uk"]],
  ["a*", ["a", "ab"], ["ba"]],
  ["a*b*c", ["abc", "axbxc", "abcbc"], ["ab", "acb"]],
  ["a?c", ["abc"], ["ac", "abbc"]],
  ["**a**", ["a", "bab"], ["b", ""]],
  ["*?", ["a", "ab"], [""]],
  ["a.b", ["a.b"], ["axb"]],
  ["[ab]", ["[ab]"], ["a"]],
  ["(a|b)+$", ["(a|b)+$"], ["a"]],
  ["*ab", ["ab", "aab", "abab"], ["aba"]],
  ["a*a", ["aa", "aba"], ["a"]],
];

for (const [pattern, matching, others] of MATCHES) {
  glob(`${JSON.stringify(pattern)} matches only whole names`, () => {
    for (const server of matching) assert.ok(allows({ allow: [pattern] }, server), server);
    for (const server of others) assert.not(allows({ allow: [pattern] }, server), server);
  });
}

glob("matches as a regular expression does, whatever the wildcards and the place of the match", () => {
  const text = (chars: string, maxLength: number) =>
    fc.array(fc.constantFrom(...chars), { maxLength }).map((list) => list.join(""));
  const host = fc.oneof(text("ab.", 8), text("ab.", 80));
  check(
    fc.property(fc.array(text("ab.*?", 8), { maxLength: 4 }), host, (patterns, server) => {
      const canonical = (name: string) => name.replace(/([^.*?])\.+$/, "$1");
      const isMatch = patterns.some((pattern) => {
        const source = canonical(pattern).replaceAll(".", "\\.").replaceAll("?", ".").replaceAll("*", ".*");
        return new RegExp(`^${source}$`).test(canonical(server));
      });
      assert.is(allows({ allow: patterns }, server), isMatch);
      assert.is(allows({ allow: ["*"], deny: patterns }, server), !isMatch);
    }),
    { numRuns: 300 },
  );
});

const cost = suite("cost of a server ACL");

const stepsOf = (patterns: readonly string[], host: string): number => {
  const compiled = new HostPatterns(patterns, ACL_PATTERN_CHARS_MAX);
  compiled.match(host);
  return compiled.steps;
};

const HOST = "a".repeat(230);

cost("does not grow with the number of names and suffixes", () => {
  for (const pattern of [(i: number) => `s${i}.org`, (i: number) => `*.s${i}.org`]) {
    const list = (n: number) => Array.from({ length: n }, (_, i) => pattern(i));
    assert.is(stepsOf(list(3_000), HOST), stepsOf(list(300), HOST));
  }
});

cost("is at most a step per character of the globs and 32 characters of the host", () => {
  const words = Math.ceil((HOST.length + 1) / 32);
  for (const n of [400, 4_000]) {
    for (const glob of ["*a*a*a*a*a*a*b", `${"*a".repeat(200)}b`, "a?a*a?b"]) {
      const list = Array.from({ length: Math.floor(n / 14) }, () => glob);
      assert.ok(stepsOf(list, HOST) <= 1 + words * list.join("").length, `${n} × ${glob}`);
    }
  }
});

cost("is nothing for patterns longer than any host, and runs of stars are one", () => {
  assert.is(stepsOf([`${"*a".repeat(20_000)}b`], HOST), 1);
  assert.ok(allows({ allow: [`${"*".repeat(ACL_PATTERN_CHARS_MAX)}a`] }, HOST));
  assert.ok(allows({ allow: ["*"], deny: [`${"?".repeat(300)}*`] }, HOST));
});

cost("is bounded: a longer deny list denies everybody, and the rest of a longer allow list is ignored", () => {
  const many = Array.from({ length: ACL_PATTERN_CHARS_MAX / 10 }, (_, i) => `s${String(i).padStart(6, "0")}.org`);
  assert.ok(many.join("").length > ACL_PATTERN_CHARS_MAX);
  assert.not(allows({ allow: ["*"], deny: many }, "good.org"));
  assert.not(allows({ allow: [...many, "good.org"] }, "good.org"));
  assert.ok(allows({ allow: [...many, "good.org"] }, "s000000.org"));
});

acl.run();
glob.run();
cost.run();
