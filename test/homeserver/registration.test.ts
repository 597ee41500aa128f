/** `tidemark registration`, and a gateway that uses the file. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { readRegistration } from "../../src/homeserver/registration.ts";
import { runCli } from "../support/cli-process.ts";
import { output, tidemarkCommand } from "../support/commands.ts";
import { startBus } from "../support/harness.ts";
import { BASE, call } from "../support/pushing-homeserver.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const URL_OPTIONS = ["--url", "http://tidemark.example:8008/"];

const registration = suite("registration");

registration("covers all users and rooms, has random tokens, and is readable by its owner only", async () => {
  await using bus = await startBus();
  const out = join(bus.dir, "tidemark.yaml");
  const args = ["registration", ...URL_OPTIONS, "--server-name", "here.example", "--out", out];
  await output(args);
  const { as_token, hs_token, ...rest } = parse(await readFile(out, "utf8"));
  assert.match(as_token, /^[0-9a-f]{64}$/);
  assert.match(hs_token, /^[0-9a-f]{64}$/);
  assert.is.not(as_token, hs_token);
  assert.equal(rest, {
    id: "tidemark",
    url: "http://tidemark.example:8008",
    sender_localpart: "tidemark",
    rate_limited: false,
    receive_ephemeral: true,
    "de.sorunome.msc2409.push_ephemeral": true,
    namespaces: {
      users: [{ exclusive: false, regex: "@.*:here\\.example" }],
      rooms: [{ exclusive: false, regex: "!.*" }],
      aliases: [],
    },
    "tidemark.server_names": ["here.example"],
  });
  assert.is((await stat(out)).mode & 0o777, 0o600);
  assert.is((await tidemarkCommand(args)).status, 1, "an existing file is not overwritten");
});

registration("admits only the homeserver that has it", async () => {
  await using bus = await startBus();
  const file = join(bus.dir, "tidemark.yaml");
  await output(["registration", ...URL_OPTIONS, "--server-name", "here.example", "--out", file]);
  const { hs_token: token } = parse(await readFile(file, "utf8"));
  const options = ["--nats", bus.url, "--data", bus.dir, "--partitions", "1", "--registration", file];
  await using tidemark = runCli(["start", ...options]);
  const { http } = await tidemark.ready;
  assert.is((await call(`${http}${BASE}/transactions/1`, "PUT", { events: [] }, token)).status, 200);
  assert.is((await call(`${http}${BASE}/transactions/1`, "PUT", { events: [] }, "no")).status, 403);
});

registration("claims no users when Tidemark may not act as them", async () => {
  const lines = await output(["registration", ...URL_OPTIONS, "--server-name", "here.example", "--least"]);
  const { namespaces, ...rest } = parse(lines.join("\n"));
  assert.equal(namespaces, { users: [], rooms: [{ exclusive: false, regex: "!.*" }], aliases: [] });
  assert.equal(rest["tidemark.server_names"], ["here.example"]);
  using dir = temporaryDirectory();
  const file = join(dir.path, "tidemark.yaml");
  for (const [users, actsAsUsers] of [
    ["[]", false],
    ["[{ exclusive: false, regex: .* }]", true],
  ] as const) {
    await writeFile(file, `id: t\nas_token: a\nhs_token: h\nnamespaces: { users: ${users} }\n`);
    assert.is((await readRegistration(file)).actsAsUsers, actsAsUsers);
  }
});

registration("of other software needs the names of the servers whose users are local, and both tokens", async () => {
  using dir = temporaryDirectory();
  const file = join(dir.path, "tidemark.yaml");
  const options = ["start", "--nats", "nats://127.0.0.1:1", "--registration", file];
  await writeFile(file, "id: tidemark\nas_token: a\nhs_token: h\n");
  const nameless = await tidemarkCommand(options);
  assert.is(nameless.status, 2);
  assert.match(nameless.stderr, "needs --server-name");
  await writeFile(file, "id: tidemark\nhs_token: h\n");
  const tokenless = await tidemarkCommand(options);
  assert.is(tokenless.status, 1);
  assert.match(tokenless.stderr, /can't be read: as_token is missing/);
});

registration("stops the start with a reason if it can't be read", async () => {
  await using bus = await startBus();
  const file = join(bus.dir, "none.yaml");
  const options = ["--nats", bus.url, "--data", bus.dir, "--server-name", "here.example"];
  const { status, stderr } = await tidemarkCommand(["start", ...options, "--registration", file]);
  assert.is(status, 1);
  assert.match(stderr, `the registration ${file} can't be read`);
});

registration.run();
