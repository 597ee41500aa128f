import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ServerName } from "../../src/matrix/ids.ts";
import { ACL_CACHE_MAX, serverAcl } from "../../src/matrix/server-acl.ts";

const allows = (content: Record<string, unknown>, server: string) => serverAcl(content)(server as ServerName);

const acl = suite("server ACL");

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

glob("that is hostile takes at most pattern length × name length steps", () => {
  const startedAt = performance.now();
  const hostile = `${"*a".repeat(20_000)}b`;
  assert.ok(allows({ allow: ["*"], deny: [hostile] }, "a".repeat(230)));
  assert.ok(allows({ allow: [`${"*".repeat(50_000)}a`] }, "a".repeat(230)));
  assert.ok(allows({ allow: ["*"], deny: Array.from({ length: 200 }, () => "*a*a*a*a*a*a*a*a*b") }, "a".repeat(230)));
  // With backtracking over all stars, one of these would take practically forever.
  assert.ok(performance.now() - startedAt < 5_000);
});

acl.run();
glob.run();
