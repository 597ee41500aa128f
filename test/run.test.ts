import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const repository = dirname(import.meta.dirname);
const RUN_COMMAND = join(import.meta.dirname, "run.ts");
const TIER = join(import.meta.dirname, "support/tier.ts");

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
  lastLine: string | undefined;
}

/**
 * Runs the test command on a folder with these test files. A `§` before a parenthesis is removed from them. It hides
 * the call from the test command when that inspects this file.
 */
async function runTests(
  files: Record<string, string>,
  { args = [], env = {} }: { readonly args?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), "tidemark-test-"));
  try {
    await writeFile(join(dir, "package.json"), '{ "type": "module" }');
    await symlink(join(repository, "node_modules"), join(dir, "node_modules"));
    for (const [name, source] of Object.entries(files)) {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), source.replaceAll("§", ""));
    }
    const child = spawn(process.execPath, ["--import", "tsx", RUN_COMMAND, "--dir", dir, ...args], {
      cwd: repository,
      env: { ...process.env, SEED: "", TIDEMARK_TIER: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
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

const HEAD = `
import { suite } from "uvu";
import * as assert from "uvu/assert";
const planted = suite§("planted");
`;
const PASSING = 'planted§("passes", () => {});\n';
const FAILING = 'planted§("fails", () => assert.is(1, 2, "one is two"));\n';
const RUN = "planted.run§();\n";
const GOOD = HEAD + PASSING + RUN;

/** Files that pass, with their number of tests. */
const passing: Record<string, [source: string, passed: number]> = {
  "with a test in a loop": [`${HEAD}for (const n of [1, 2, 3]) planted§(\`passes \${n}\`, () => {});\n${RUN}`, 3],
  "with several suites, and uvu's own": [
    `
import { suite, test } from "uvu";
const first = suite<{ n: number }>§("first");
const second = suite§("second");
first§("passes", () => {});
second§("passes", () => {});
test§("passes", () => {});
first.run(); second.run(); test.run();
`,
    3,
  ],
};

/** Files that must be refused, with the reason. */
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
  "whose suite is not a constant": [
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
    "hooks are refused: uvu exits with 0 when one throws",
  ];
}

/** Files that must fail, with the problem that is reported, and the numbers of passed and failed tests. */
const failing: Record<string, [source: string, problem: string, passed: number, failed: number]> = {
  "has two failing tests": [HEAD + PASSING + FAILING + FAILING + RUN, "1 of 3 tests passed", 1, 2],
  "crashes while it is loaded": [`${HEAD}${PASSING}${RUN}throw new Error("early");\n`, "exit code 1", 0, 1],
  "exits with 0 before the end": [
    `${HEAD}${PASSING}planted§("leaves", () => process.exit(0));\n${RUN}`,
    "ended before uvu printed its closing lines",
    0,
    1,
  ],
  "waits for a promise that never resolves": [
    `${HEAD}planted§("hangs", () => new Promise(() => {}));\n${RUN}`,
    "ended before uvu printed its closing lines",
    0,
    1,
  ],
  "crashes after its last test": [
    `${HEAD}planted§("leaves a timer", () => void setTimeout(() => { throw new Error("late"); }, 20));\n${RUN}`,
    "exit code 1",
    1,
    1,
  ],
  "sets an exit code": [
    `${HEAD}planted§("leaves a timer", () => void setTimeout(() => { process.exitCode = 3; }, 20));\n${RUN}`,
    "exit code 3",
    1,
    1,
  ],
  "is killed": [`${HEAD}planted§("dies", () => void process.kill(process.pid, "SIGKILL"));\n${RUN}`, "SIGKILL", 0, 1],
  "runs fewer tests than it defines": [
    `${HEAD}${PASSING}${RUN}if (Date.now() < 0) planted§("unseen", () => {});\n`,
    "1 tests ran, 2 are defined",
    1,
    1,
  ],
};

/** Those that leave their process running, so that it may be the process or the next file that ends them. */
const ENDED_BY_PROCESS = ["has two failing tests", "sets an exit code", "runs fewer tests than it defines"];

const fileOf = (what: string) => `${what.replaceAll(/\W/g, "-")}.test.ts`;

/** Files that fail, by path: all in one folder, which share a process, and some in folders of their own. */
const failingFiles = new Map([
  ...Object.keys(failing).map((what) => [`shared/${fileOf(what)}`, what] as const),
  ...ENDED_BY_PROCESS.map((what, index) => [`alone-${index}/${fileOf(what)}`, what] as const),
]);

/** Runs all files at once: a run costs a second, a file in it almost nothing. */
async function runAll(): Promise<Outcome> {
  const files: Record<string, string> = { "no-test.ts": "throw new Error('this is no test file');" };
  for (const [what, [source]] of Object.entries({ ...passing, ...refused })) files[fileOf(what)] = source;
  for (const [path, what] of failingFiles) files[path] = failing[what]![0];
  // One file before, and one after those that end their process.
  return await runTests({ ...files, "a.test.ts": GOOD, "zz/z.test.ts": GOOD });
}

let all: Promise<Outcome> | undefined;
async function outcomeOfAll(): Promise<Outcome> {
  all ??= runAll();
  return await all;
}

/** The line that reports a file, and the lines below it. */
async function reportOn(file: string): Promise<string> {
  const { stdout } = await outcomeOfAll();
  const report = stdout.split(/^(?=ok {4}|FAIL {2})/m).find((part) => part.slice(6).startsWith(`${file}  `));
  assert.ok(report, `${file} is reported`);
  return report!;
}

const testCommand = suite("test command");

for (const [what, [, passed]] of Object.entries(passing)) {
  testCommand(`counts the tests of a file ${what}`, async () => {
    assert.match(await reportOn(fileOf(what)), new RegExp(`^ok .*  ${passed} passed, [\\d.]+ s\n`));
  });
}

for (const [what, [, problem]] of Object.entries(refused)) {
  testCommand(`refuses a file ${what}`, async () => {
    const report = await reportOn(fileOf(what));
    assert.match(report, /^FAIL .* {2}0 passed, 1 failed, 0\.0 s\n/);
    assert.match(report, `      ${problem}\n`);
  });
}

for (const [path, what] of failingFiles) {
  const [, problem, passed, failed] = failing[what]!;
  testCommand(`fails a file that ${what}, ${path.startsWith("shared") ? "between others" : "alone"}`, async () => {
    const report = await reportOn(path);
    assert.match(report, new RegExp(`^FAIL .*  ${passed} passed, ${failed} failed, [\\d.]+ s\n`));
    assert.match(report, `      ${problem}\n`);
  });
}

testCommand("shows what a file printed below its problems, and below no other file", async () => {
  assert.match(await reportOn(`shared/${fileOf("has two failing tests")}`), "one is two");
  assert.match(await reportOn(`shared/${fileOf("crashes while it is loaded")}`), "Error: early");
  assert.match(await reportOn(`shared/${fileOf("crashes after its last test")}`), "Error: late");
  const { stdout } = await outcomeOfAll();
  assert.is(stdout.split("Error: early").length, 2);
});

testCommand("runs the files before and after those that end their process", async () => {
  assert.match(await reportOn("a.test.ts"), /^ok .* {2}1 passed/);
  assert.match(await reportOn("zz/z.test.ts"), /^ok .* {2}1 passed/);
});

testCommand("reports the totals in its last line, and failure in its exit status", async () => {
  const { lastLine, status } = await outcomeOfAll();
  const sum = (of: readonly number[]) => of.reduce((total, each) => total + each, 0);
  const passed = sum(Object.values(passing).map(([, passed]) => passed)) + 2;
  const ofFailing = [...failingFiles.values()].map((what) => failing[what]!);
  const failed = Object.keys(refused).length + sum(ofFailing.map(([, , , failed]) => failed));
  assert.is(lastLine, `${passed + sum(ofFailing.map(([, , passed]) => passed))} passed, ${failed} failed`);
  assert.is(status, 1);
});

testCommand("runs only the files that match a pattern, and passes when all of their tests do", async () => {
  const files = { "log.test.ts": GOOD, "sub/lease.test.ts": GOOD, "other.test.ts": HEAD + FAILING + RUN };
  const outcome = await runTests(files, { args: ["log", "lease"] });
  assert.is(outcome.lastLine, "2 passed, 0 failed");
  assert.is(outcome.status, 0);
});

testCommand("fails when no file matches", async () => {
  const outcome = await runTests({ "log.test.ts": GOOD }, { args: ["lgo"] });
  assert.match(outcome.stderr, "no test file in");
  assert.is(outcome.lastLine, "0 passed, 1 failed");
  assert.is(outcome.status, 1);
});

testCommand("fails when there is no usable nats-server", async () => {
  const env = { TIDEMARK_NATS_SERVER: join(tmpdir(), "there", "is", "none") };
  const outcome = await runTests({ "a.test.ts": GOOD }, { env });
  assert.match(outcome.stderr, "which is not an executable nats-server");
  assert.is(outcome.lastLine, "0 passed, 1 failed");
  assert.is(outcome.status, 1);
});

const TRYING = `${HEAD}
import { cases, SEED } from "${TIER}";
planted§("tries", () => assert.is(1, 2, \`\${cases(10)} cases from \${SEED}\`));
${RUN}`;

testCommand("runs files that need a live homeserver only if asked to, and fails if it can't be had", async () => {
  const live = `import "${join(import.meta.dirname, "support/synapse-program.ts")}";\n${GOOD}`;
  const files = { "live.test.ts": live, "plain.test.ts": GOOD };
  const plain = await runTests(files);
  assert.not.match(plain.stdout, "live.test.ts");
  assert.is(plain.lastLine, "1 passed, 0 failed");
  const asked = await runTests(files, { args: ["--homeserver"], env: { TIDEMARK_SYNAPSE_PYTHON: "/nowhere/python" } });
  assert.match(asked.stderr, "no Python that has Synapse");
  assert.is(asked.lastLine, "0 passed, 1 failed");
  assert.is(asked.status, 1);
});

testCommand("prints its seed, which is the same each time", async () => {
  const { stdout } = await runTests({ "a.test.ts": TRYING });
  const [, seed] = /^seed (\d+)\n/.exec(stdout)!;
  assert.match(stdout, `10 cases from ${seed}`);
  assert.match((await runTests({ "a.test.ts": GOOD })).stdout, new RegExp(`^seed ${seed}\n`));
});

testCommand("in the long tier uses many cases and a random seed, and skips files without cases", async () => {
  const files = { "trying.test.ts": TRYING, "plain.test.ts": GOOD };
  const { stdout, lastLine } = await runTests(files, { args: ["--long"] });
  const [, seed] = /^seed (\d+)\n/.exec(stdout)!;
  assert.match(stdout, `200 cases from ${seed}`);
  assert.is(lastLine, "0 passed, 1 failed");
  assert.match((await runTests(files, { args: ["--long"], env: { SEED: "7" } })).stdout, "200 cases from 7");
});

testCommand.run();
