/** A real S3 server, of another project (`test/peers`): a process of its own, which keeps objects in a folder. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { S3Keys } from "../../src/archive/s3-requests.ts";
import { ensurePeers } from "./peers.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const PROGRAM = join(import.meta.dirname, "../peers/node_modules/s3rver/bin/s3rver.js");
const READY = /listening on 127\.0\.0\.1:(\d+)/;

export const BUCKET = "tide-test";

/** The only keys that it takes, behind a relay. */
export const S3_KEYS: S3Keys = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };

export interface S3Server extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
}

/** Starts a server with an empty bucket. */
export async function startS3Server(): Promise<S3Server> {
  await ensurePeers();
  const dir = temporaryDirectory();
  // Its tokens for further pages of a list are made with a cipher that newer versions of OpenSSL call legacy.
  const node = ["--openssl-legacy-provider", PROGRAM];
  const args = [...node, "-d", dir.path, "-a", "127.0.0.1", "-p", "0", "--configure-bucket", BUCKET];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the S3 server ended with ${code}`)));
    createInterface(child.stdout).on("line", (line) => {
      const ready = READY.exec(line);
      if (ready !== null) resolve(Number(ready[1]));
    });
  });
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
      child.kill("SIGKILL");
      await ended;
      dir[Symbol.dispose]();
    },
  };
}
