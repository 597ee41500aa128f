import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const repository = dirname(import.meta.dirname);

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
  lastLine: string | undefined;
}

/**
 * Runs the test command on a folder of these test files. A `§` before a parenthesis is left out of them: it hides the call
 * from the test command when that reads this very file.
 */
async function runTests(files: Record<string, string>, ...patterns: string[]): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), "tidemark-test-"));
  try {
    await writeFile(join(dir, "package.json"), '{ "type": "module" }');
    await symlink(join(repository, "node_modules"), join(dir, "node_modules"));
    for (const [name, source] of Object.entries(files)) {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), source.replaceAll("§", ""));
    }
    const args = ["--import", "tsx", fileURLToPath(import.meta.resolve("./run.ts")), "--dir", dir, ...patterns];
    const child = spawn(process.execPath, args, { cwd: repository, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, [status]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    return { status, stdout, stderr, lastLine: stdout.trimEnd().split("\n").at(-1) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function assertFailed(outcome: Outcome, problem: string, lastLine: string): void {
  assert.match(outcome.stdout, `      ${problem}\n`);
  assert.is(outcome.lastLine, lastLine);
  assert.is(outcome.status, 1);
}

const HEAD = `
import { suite } from "uvu";
import * as assert from "uvu/assert";
const planted = suite§("planted");
`;
const PASSING = 'planted§("passes", () => {});\n';
const FAILING = 'planted§("fails", () => assert.is(1, 2, "one is two"));\n';
const RUN = "planted.run§();\n";

const testCommand = suite("test command");

testCommand("passes when every test of every file passes, in folders too", async () => {
  const outcome = await runTests({
    "a.test.ts": HEAD + PASSING + RUN,
    "deep/er/b.test.ts": `${HEAD}for (const n of [1, 2, 3]) planted§(\`passes \${n}\`, () => {});\n${RUN}`,
    "c.ts": "throw new Error('this is no test file');",
  });
  assert.is(outcome.lastLine, "4 passed, 0 failed");
  assert.is(outcome.status, 0);
});

testCommand("counts the tests of several suites, and of uvu's own", async () => {
  const source = `
import { suite, test } from "uvu";
const first = suite<{ n: number }>§("first");
const second = suite§("second");
first§("passes", () => {});
second§("passes", () => {});
test§("passes", () => {});
first.run(); second.run(); test.run();
`;
  const outcome = await runTests({ "a.test.ts": source });
  assert.is(outcome.lastLine, "3 passed, 0 failed");
});

testCommand("runs only the files that match a pattern", async () => {
  const files = { "log.test.ts": HEAD + PASSING + RUN, "lease.test.ts": HEAD + FAILING + RUN };
  assert.is((await runTests(files, "log")).lastLine, "1 passed, 0 failed");
  assert.is((await runTests(files, "log", "lease")).lastLine, "1 passed, 1 failed");
});

testCommand("fails when no file matches", async () => {
  const outcome = await runTests({ "log.test.ts": HEAD + PASSING + RUN }, "lgo");
  assert.match(outcome.stderr, "no test file in");
  assert.is(outcome.lastLine, "0 passed, 1 failed");
  assert.is(outcome.status, 1);
});

testCommand("counts failing tests one by one, and shows what they said", async () => {
  const outcome = await runTests({ "a.test.ts": HEAD + PASSING + FAILING + FAILING + RUN });
  assertFailed(outcome, "1 of 3 tests passed", "1 passed, 2 failed");
  assert.match(outcome.stdout, "one is two");
});

const refused: Record<string, [source: string, problem: string]> = {
  "whose suite is never run": [HEAD + PASSING, "the suite planted is never run"],
  "that never runs uvu's own suite": [
    'import { test } from "uvu";\ntest§("passes", () => {});\n',
    "the suite test is never run",
  ],
  "with one suite of two that is never run": [
    `${HEAD}const other = suite§("other");\nother§("passes", () => {});\n${PASSING}${RUN}`,
    "the suite other is never run",
  ],
  "whose suite is no constant": [
    `${HEAD}${PASSING}${RUN}[suite§("loose")].map((it) => it§("x", () => {}));\n`,
    "every suite must be a constant of its own",
  ],
  "with an only": [`${HEAD}${PASSING}planted.only§("alone", () => {});\n${RUN}`, ".only or .skip hides tests"],
  "with a skip": [`${HEAD}${PASSING}planted.skip§("later", () => {});\n${RUN}`, ".only or .skip hides tests"],
  "with no test": [HEAD + RUN, "defines no test"],
};
for (const hook of ["before", "before.each", "after", "after.each"]) {
  refused[`with the hook ${hook}`] = [
    `${HEAD}${PASSING}planted.${hook}§(() => { throw new Error("unseen"); });\n${RUN}`,
    "hooks are not for us: uvu exits with 0 when one throws",
  ];
}
for (const [what, [source, problem]] of Object.entries(refused)) {
  testCommand(`refuses a file ${what}`, async () => {
    const outcome = await runTests({ "a.test.ts": source, "b.test.ts": HEAD + PASSING + RUN });
    assertFailed(outcome, problem, "1 passed, 1 failed");
  });
}

const failing: Record<string, [source: string, problem: string, lastLine: string]> = {
  "crashes as it is loaded": [
    `${HEAD}${PASSING}${RUN}throw new Error("early");\n`,
    "exit code 1",
    "0 passed, 1 failed",
  ],
  "exits with 0 before the end": [
    `${HEAD}${PASSING}planted§("leaves", () => process.exit(0));\n${RUN}`,
    "ended before uvu printed its closing lines",
    "0 passed, 1 failed",
  ],
  "waits for what never comes": [
    `${HEAD}planted§("hangs", () => new Promise(() => {}));\n${RUN}`,
    "ended before uvu printed its closing lines",
    "0 passed, 1 failed",
  ],
  "crashes after its last test": [
    `${HEAD}planted§("leaves a timer", () => void setTimeout(() => { throw new Error("late"); }, 20));\n${RUN}`,
    "exit code 1",
    "1 passed, 1 failed",
  ],
  "is killed": [
    `${HEAD}planted§("dies", () => void process.kill(process.pid, "SIGKILL"));\n${RUN}`,
    "SIGKILL",
    "0 passed, 1 failed",
  ],
  "runs fewer tests than it defines": [
    `${HEAD}${PASSING}${RUN}if (process.argv.length > 9) planted§("unseen", () => {});\n`,
    "1 tests ran, 2 are defined",
    "1 passed, 1 failed",
  ],
};
for (const [what, [source, problem, lastLine]] of Object.entries(failing)) {
  testCommand(`fails a file that ${what}`, async () => {
    assertFailed(await runTests({ "a.test.ts": source }), problem, lastLine);
  });
}

testCommand("fails when there is no usable nats-server", async () => {
  const named = process.env.TIDEMARK_NATS_SERVER;
  process.env.TIDEMARK_NATS_SERVER = join(tmpdir(), "there", "is", "none");
  try {
    const outcome = await runTests({ "a.test.ts": HEAD + PASSING + RUN });
    assert.match(outcome.stderr, "which is not an executable nats-server");
    assert.is(outcome.lastLine, "0 passed, 1 failed");
    assert.is(outcome.status, 1);
  } finally {
    if (named === undefined) delete process.env.TIDEMARK_NATS_SERVER;
    else process.env.TIDEMARK_NATS_SERVER = named;
  }
});

testCommand.run();
