/** Options from the environment, and that nothing which is wrong with an option shows a secret (docs/design.md#the-command-line). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { importRoomCommand } from "../../src/commands/import-room.ts";
import { readVariables } from "../../src/commands/options.ts";
import { startCommand } from "../../src/commands/start.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** No broker: a command that gets so far ends with status 1. */
const NOWHERE = "nats://127.0.0.1:1";

const variables = suite("variables");

variables("of a flag say yes or no", () => {
  const flags = startCommand().options.filter((option) => option.isBoolean());
  assert.equal(flags.map(({ envVar }) => envVar).sort(), [
    "TIDEMARK_INSPECT",
    "TIDEMARK_STANDALONE",
    "TIDEMARK_UNSTABLE_ORDERS",
  ]);
  const values = {
    true: true,
    TRUE: true,
    yes: true,
    on: true,
    1: true,
    false: false,
    False: false,
    no: false,
    0: false,
  };
  for (const option of flags) {
    for (const [text, expected] of Object.entries(values)) {
      const command = startCommand();
      command.setOptionValueWithSource(option.attributeName(), true, "env");
      assert.is(readVariables(command, { [option.envVar!]: text }), undefined);
      assert.is(command.getOptionValue(option.attributeName()), expected, `${option.envVar}=${text}`);
    }
  }
});

variables("of a flag that say no leave it off, and the command line has the last word", async () => {
  const start = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    tidemarkCommand(["start", "--nats", NOWHERE, "--roles", "ingress", ...args], env);
  for (const text of ["false", "0", "no"]) assert.is((await start({ TIDEMARK_INSPECT: text })).status, 1, text);
  for (const text of ["true", "1"]) {
    const { status, stderr } = await start({ TIDEMARK_INSPECT: text });
    assert.is(status, 2, text);
    assert.match(stderr, "--inspect needs --admin-token");
  }
  assert.is((await start({ TIDEMARK_INSPECT: "false" }, "--inspect")).status, 2);
});

variables("that are empty, or neither true nor false, are an error that names them", async () => {
  for (const [env, why] of [
    [{ TIDEMARK_STANDALONE: "flase" }, "TIDEMARK_STANDALONE must be true or false"],
    [{ TIDEMARK_INSPECT: "" }, "TIDEMARK_INSPECT is empty"],
    [{ TIDEMARK_NATS: "" }, "TIDEMARK_NATS is empty"],
    [{ TIDEMARK_USERS: "" }, "TIDEMARK_USERS is empty"],
  ] as const) {
    const { status, stderr } = await tidemarkCommand(["start"], env);
    assert.is(status, 2);
    assert.match(stderr, why);
  }
});

variables("for secrets are named by the help", () => {
  for (const [command, option, variable] of [
    [startCommand(), "--nats <url>", "TIDEMARK_NATS"],
    [startCommand(), "--admin-token <token>", "TIDEMARK_ADMIN_TOKEN"],
    [importRoomCommand(), "--token <token>", "TIDEMARK_TOKEN"],
  ] as const) {
    const help = command.helpInformation().replace(/\s+/g, " ");
    const line = help.slice(help.indexOf(`${option} `) + option.length).split(/ --[a-z-]+ </)[0]!;
    assert.match(line, /its variable is better/);
    assert.match(line, `(env: ${variable})`);
  }
});

const errors = suite("errors about options");

errors("have no secret in them", async () => {
  await using folder = temporaryDirectory();
  const file = async (name: string, text: string) => {
    const path = join(folder.path, name);
    await writeFile(path, text);
    return path;
  };
  const users = (name: string, text: string) => file(name, text).then((path) => ["start", "--users", path]);
  const registration = (name: string, text: string) =>
    file(name, text).then((path) => ["start", "--server-name", "a", "--registration", path]);
  const wrong: [args: string[], env: NodeJS.ProcessEnv, why: string][] = [
    [["start", "--inspect", "--admin-token", "a-hushed"], {}, "at least 16 characters"],
    [["start", "--inspect"], { TIDEMARK_ADMIN_TOKEN: "a-hushed" }, "TIDEMARK_ADMIN_TOKEN"],
    [["start", "--admin-tokn=a-hushed-token-of-mine"], {}, "unknown option '--admin-tokn=…'"],
    [["start", "--http", "nats://worker:hushed@nats-1:4222"], {}, "nats://nats-1:4222"],
    [["start"], { TIDEMARK_HOMESERVER: "ftp://a:hushed@b" }, "TIDEMARK_HOMESERVER"],
    [["start"], { TIDEMARK_HOMESERVER: "https://a:hushed@b" }, "must have no user and no password"],
    [["status"], { TIDEMARK_NATS: "nats://worker:hushed@127.0.0.1:1" }, "no connection to nats://worker@127.0.0.1:1"],
    [["status"], { TIDEMARK_NATS: "nats://worker:hushed@:x" }, "no connection to nats://worker@:x"],
    [await users("1.json", '{ "hushed": { "user_id": 3 } }'), {}, "entry 1: user_id must be a user id"],
    [await users("2.json", '{ "a": { "user_id": "@a:b" }, "hushed" }'), {}, "it is no JSON object"],
    [await users("3.json", '["hushed"]'), {}, "it is no JSON object"],
    [await users("4.json", '{ "hushed": { "user_id": "@a:b", "device_id": "" } }'), {}, "entry 1: device_id"],
    [await registration("1.yaml", 'as_token: hushed\nhs_token: [hushed\nurl: "x'), {}, "it is no YAML from line"],
    [await registration("2.yaml", "hs_token: *hushed\n"), {}, "it is no YAML"],
    [await registration("3.yaml", "as_token: !hushed hushed\n"), {}, "id is missing"],
    [await registration("4.yaml", "id: a\nas_token: hushed\nhs_token: [hushed]\n"), {}, "hs_token is missing"],
  ];
  for (const [args, env, why] of wrong) {
    const { status, stdout, stderr } = await tidemarkCommand(args, { TIDEMARK_NATS: NOWHERE, ...env });
    assert.ok(status > 0);
    assert.match(stderr, why);
    assert.not.match([...stdout, stderr].join("\n"), "hushed");
  }
});

variables.run();
errors.run();
