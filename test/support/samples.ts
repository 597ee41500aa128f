/** Programs that a test runs as a reader would: the examples, and the code blocks of a page. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

export const TOP = resolve(import.meta.dirname, "../..");

export interface Program extends AsyncDisposable {
  /** The lines that it has printed so far. */
  readonly lines: readonly string[];
  /** Resolves to its exit code. */
  readonly ended: Promise<number | null>;
}

/** Starts Node. The errors that the program prints go to the output of the test. `env` is added to that of the test. */
export function startProgram(
  args: readonly string[],
  cwd: string = TOP,
  env: Readonly<Record<string, string>> = {},
): Program {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const ended = once(child, "close").then(([code]) => code as number | null);
  return {
    lines,
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await ended;
    },
  };
}

export function startExample(name: string, url: string): Program {
  return startProgram(["--import", "tsx", `examples/${name}`, url]);
}

/** Returns the code blocks of a page in some languages, in order. */
export async function codeBlocks(page: string, ...languages: readonly string[]): Promise<string[]> {
  const text = await readFile(resolve(TOP, page), "utf8");
  const blocks = text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm);
  return [...blocks].filter(([, language]) => languages.includes(language!)).map(([, , code]) => code!);
}
