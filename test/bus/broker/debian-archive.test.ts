/** Packages that are unpacked from an archive: none that nobody has signed. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Archive, aptReason, unpackPackage } from "../../../src/bus/broker/debian-archive.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const run = promisify(execFile);
const LIMIT_MS = 60_000;

/** What an administrator may have set for an archive of the company, and an attacker for this one. */
const LAX = `
Acquire::AllowInsecureRepositories "true";
Acquire::AllowWeakRepositories "true";
Acquire::AllowDowngradeToInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
`;

/** A folder that is an archive with one package, which nobody has signed. */
async function unsignedArchive(path: string): Promise<Archive> {
  const control = join(path, "planted", "DEBIAN", "control");
  const fields = "Package: planted\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n";
  await mkdir(join(path, "planted", "DEBIAN"), { recursive: true });
  await writeFile(control, `${fields}Description: planted\n`);
  await writeFile(join(path, "planted", "program"), "");
  await run("dpkg-deb", ["--build", join(path, "planted"), join(path, "planted.deb")]);
  const bytes = await readFile(join(path, "planted.deb"));
  const packages = join(path, "dists/stable/main/binary-all");
  const index = `${fields}Filename: planted.deb\nSize: ${bytes.length}\nSHA256: ${createHash("sha256").update(bytes).digest("hex")}\n`;
  const { stdout: own } = await run("dpkg", ["--print-architecture"]);
  for (const folder of [packages, join(path, `dists/stable/main/binary-${own.trim()}`)]) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "Packages"), index);
  }
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  return { distribution: "debian", codename: "stable", component: "main", uris: [`file:${path}`], keyring };
}

const archive = suite("archive");

archive("an unsigned package is refused, whatever apt's configuration allows", async () => {
  using dir = temporaryDirectory();
  await chmod(dir.path, 0o755); // When root runs apt, it reads as another user.
  const unsigned = await unsignedArchive(join(dir.path, "archive"));
  const config = join(dir.path, "apt.conf");
  await writeFile(config, LAX);
  const into = join(dir.path, "unpacked");
  await mkdir(into);
  process.env.APT_CONFIG = config;
  try {
    const refused = unpackPackage(unsigned, { suite: "stable", name: "planted", limitMs: LIMIT_MS }, into);
    const why = await refused.then(() => "nothing", aptReason);
    assert.match(why, /^The repository .* (?:is not signed|does not have a Release file)/);
  } finally {
    delete process.env.APT_CONFIG;
  }
  assert.equal(await readdir(into), []);
});

archive.run();
