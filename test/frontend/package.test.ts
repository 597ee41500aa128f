/**
 * The packages as their users get them: packed, installed into an empty folder, and used from JavaScript and
 * TypeScript.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import root from "../../package.json" with { type: "json" };
import { run } from "../support/build.ts";
import { message, startTidemark } from "../support/harness.ts";
import { installed, type Packages, packPackages, typeCheck, unpacked } from "../support/packages.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOT = join(import.meta.dirname, "../..");
const ROOM = "!room:a.org";
/** The package, and everything that `nats`, `msgpackr` and `zod` install, with optional dependencies. */
const PACKAGES = [
  "@msgpackr-extract/",
  "detect-libc",
  "msgpackr",
  "msgpackr-extract",
  "nats",
  "nkeys.js",
  "node-gyp-build-optional-packages",
  "tidemark-frontend",
  "tweetnacl",
  "zod",
];
const BYTES_MAX = 16 * 1_048_576;

const program = (name: string) => `
  import * as frontend from "${name === "tidemark" ? "tidemark/frontend" : name}";
  import * as readState from "${name}/read-state";
  import * as sender from "${name}/federation";

  const { connect, TidemarkError } = frontend;
  const { ReadState } = readState;
  const { openFederation } = sender;
  const nats = process.argv[1];
  const room = new ReadState();
  room.note({ event_id: "$1", type: "m.room.message", sender: "@a:a.org", content: {}, unsigned: { order: 7 } });
  const refused = await connect({ nats: "nats://127.0.0.1:1" }).catch((error) => error);

  const tidemark = await connect({ nats });
  const view = await tidemark.room("${ROOM}", { userId: "@b:a.org" });
  await tidemark.receipts.send({ room_id: "${ROOM}", user_id: "@b:a.org", receipt_type: "m.read", event_id: "$1" });
  const kinds = [];
  for await (const { kind } of view) {
    kinds.push(kind);
    if (view.isRead("$1", "@b:a.org")) break;
  }
  const federation = await openFederation({ nats });
  const noServer = await federation.destination("no server").catch((error) => error);
  await federation.close();
  await tidemark.close();
  const errors = [refused, noServer].map((error) => error instanceof TidemarkError && error.code);
  const names = [frontend, readState, sender].map((exported) => Object.keys(exported).join(" "));
  const seen = [room.unread("@b:a.org").total, kinds[0], view.unread("@b:a.org").total];
  process.stdout.write(JSON.stringify({ names, seen, errors }));
`;

const application = (name: string) => `
  import { type Answer, type Asked, type ClientEvent, connect, type Frontend, type RoomChange, type TidemarkError } from "${name === "tidemark" ? "tidemark/frontend" : name}";
  import { ReadState, type Unread } from "${name}/read-state";
  import { type FederationOptions, openFederation, type Transaction } from "${name}/federation";

  export async function unread(room: string, user: string): Promise<number> {
    const tidemark = await connect({ nats: "nats://127.0.0.1:4222", name: "a test" });
    const view = await tidemark.room(room, { userId: user });
    const changes: RoomChange[] = [];
    view.subscribe((change) => changes.push(change));
    const { total }: Unread = view.unread(user);
    await tidemark.close();
    return total;
  }

  export async function* newest(room: string, user: string): AsyncGenerator<[id: string, order: number, isRead: boolean]> {
    const tidemark: Frontend = await connect({ nats: "nats://127.0.0.1:4222" });
    const { rooms } = await tidemark.query(user, { op: "rooms" });
    if (rooms[room]?.membership !== "join") return;
    const { events, next } = await tidemark.query(room, { op: "events", dir: "b", limit: 10 });
    const { read } = await tidemark.query(room, {
      op: "read",
      user_id: user,
      event_ids: events.map(({ event_id }) => event_id),
    });
    for (const { event_id, unsigned } of events) yield [event_id, unsigned.order, read[event_id] ?? false];
    const question: Asked<"events"> = { op: "events", dir: "b", ...(next !== undefined && { from: next }) };
    const older: Answer<"events"> = await tidemark.query(room, question);
    // @ts-expect-error: this question needs a user
    await tidemark.query(room, { op: "unread" });
    // @ts-expect-error: that is the answer to another question
    older.rooms;
  }

  export function read(event: ClientEvent, user: string): boolean | null {
    return new ReadState().isRead(event, user);
  }

  export async function* transactions(options: FederationOptions): AsyncGenerator<Transaction> {
    const federation = await openFederation(options);
    for await (const server of federation.destinations()) {
      const transaction = await (await federation.destination(server)).next();
      if (transaction !== undefined) yield transaction;
    }
  }

  export const isTransient = (error: TidemarkError): boolean => error.code === "BUS_UNAVAILABLE" && error.shouldRetry();

  // @ts-expect-error: the types exist, and are not \`any\`
  connect({ nats: 4222 });
`;

/** Runs the program above in a folder, against a Tidemark with one unread message. */
async function runIn(folder: string, name: string): Promise<unknown> {
  await using tidemark = await startTidemark();
  const join = { type: "m.room.member", state_key: "@b:a.org", sender: "@b:a.org", content: { membership: "join" } };
  await tidemark.sent("event", ROOM, [message("$join", join), message("$1")]);
  const args = ["--input-type=module", "--eval", program(name), tidemark.url];
  const { stdout } = await run(process.execPath, args, { cwd: folder });
  return JSON.parse(stdout);
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** The paths of a package's files, without those in its `node_modules`. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.slice(folder.length).includes("node_modules"))
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * What points at a file that the package lacks: the manifest's paths, source maps (it has no sources), and files that
 * name a source map.
 */
async function danglingIn(folder: string): Promise<string[]> {
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const targets: string[] = [];
  const collect = (value: unknown) => {
    if (typeof value === "string") targets.push(value);
    else for (const inner of Object.values(value ?? {})) collect(inner);
  };
  collect([manifest.exports, manifest.bin]);
  const files = await filesOf(folder);
  const dangling = targets.filter((target) => !files.includes(join(folder, target)));
  for (const path of files) {
    if (path.endsWith(".map")) dangling.push(path);
    else if (path.endsWith(".js") && (await readFile(path, "utf8")).includes("sourceMappingURL")) dangling.push(path);
  }
  return dangling;
}

const EXPECTED = {
  names: ["ReadState TidemarkError connect", "ReadState", "TidemarkError openFederation"],
  seen: [1, "snapshot", 0],
  errors: ["BUS_UNAVAILABLE", "M_INVALID_PARAM"],
};

const directory = temporaryDirectory();
process.once("exit", () => directory[Symbol.dispose]());
let packed: Promise<Packages> | undefined;
const packages = () => (packed ??= packPackages(directory.path));

const light = suite("tidemark-frontend");
let frontendFolder: Promise<string> | undefined;
const frontendApp = () =>
  (frontendFolder ??= packages().then(({ frontend }) => installed(frontend, join(directory.path, "app"))));

light("installs few packages, and few bytes", async () => {
  const folder = await frontendApp();
  const lock = JSON.parse(await readFile(join(folder, "node_modules/.package-lock.json"), "utf8"));
  // The native builds of `msgpackr-extract` differ by platform: only their scope is compared.
  const names = Object.keys(lock.packages).map((path) => path.replace("node_modules/", "").replace(/(@.*\/).*/, "$1"));
  assert.equal(
    names.filter((name) => !PACKAGES.includes(name)),
    [],
  );
  assert.ok(names.includes("tidemark-frontend"));
  const bytes = await sizeOf(join(folder, "node_modules"));
  assert.ok(bytes < BYTES_MAX, `${bytes} bytes`);
});

light("has every file that its manifest names, and the root's versions", async () => {
  const folder = join(await frontendApp(), "node_modules/tidemark-frontend");
  assert.equal(await danglingIn(folder), []);
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  assert.is(manifest.version, root.version);
  const { msgpackr, nats, zod } = root.dependencies;
  assert.equal(manifest.dependencies, { msgpackr, nats, zod });
  for (const key of ["repository", "bugs", "homepage", "keywords", "license"]) assert.ok(manifest[key], key);
});

light("runs from plain JavaScript", async () => {
  assert.equal(await runIn(await frontendApp(), "tidemark-frontend"), EXPECTED);
});

light("has types for strict TypeScript", async () => {
  await typeCheck(await frontendApp(), application("tidemark-frontend"));
});

light.run();

const whole = suite("tidemark");
let wholeFolder: Promise<string> | undefined;
const wholeApp = () =>
  (wholeFolder ??= packages().then(({ tidemark }) => unpacked(tidemark, join(directory.path, "whole"))));

whole("has every file that its manifest names, and not the other package", async () => {
  const folder = join(await wholeApp(), "node_modules/tidemark");
  assert.equal(await danglingIn(folder), []);
  assert.equal(
    (await filesOf(folder)).filter((path) => path.includes("frontend-package")),
    [],
  );
  for (const key of ["repository", "bugs", "homepage", "keywords", "license"]) assert.ok(key in root, key);
});

whole("has the same libraries for plain JavaScript", async () => {
  assert.equal(await runIn(await wholeApp(), "tidemark"), EXPECTED);
});

whole("has the same types for strict TypeScript", async () => {
  await typeCheck(await wholeApp(), application("tidemark"));
});

whole("names each library that is bundled into the inspector's page, with its licence", async () => {
  const path = join(await wholeApp(), "node_modules/tidemark/dist/inspector/THIRD-PARTY-NOTICES.txt");
  const notices = (await readFile(path, "utf8")).split(/^-{80}$/m).map((notice) => notice.trim());
  const bundled = ["preact", "uplot", "zod"];
  assert.equal(
    notices.map((notice) => notice.slice(0, notice.indexOf(" "))),
    bundled,
  );
  for (const [i, name] of bundled.entries()) {
    const licence = await readFile(join(ROOT, "node_modules", name, "LICENSE"), "utf8");
    assert.ok(notices[i]!.endsWith(licence.trim()), name);
  }
});

whole("has a command that prints its usage", async () => {
  const cli = join(await wholeApp(), "node_modules/tidemark", root.bin.tidemark);
  const { stdout } = await run(process.execPath, [cli, "--help"]);
  assert.match(stdout, /Usage: tidemark/);
});

whole.run();
