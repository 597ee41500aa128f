/** Standard output of commands with much output: buffered, with backpressure. */
import { once } from "node:events";

/** Whether to colour standard output: decided by `FORCE_COLOR`, then by `NO_COLOR`, else true on a terminal. */
export function isColourWanted({ FORCE_COLOR: force, NO_COLOR: no }: NodeJS.ProcessEnv = process.env): boolean {
  if (force !== undefined && force !== "") return force !== "0" && force !== "false";
  return !no && process.stdout.isTTY === true;
}

const WRITE_CHARS = 65_536;

/** EPIPE is not an error: the reader has seen enough (`| head`). */
function exitOnClosedPipe(error: NodeJS.ErrnoException): never {
  process.exit(error.code === "EPIPE" ? 0 : 1);
}

export class Output {
  #text = "";

  constructor() {
    if (process.stdout.listeners("error").includes(exitOnClosedPipe)) return;
    process.stdout.on("error", exitOnClosedPipe);
  }

  line(text: string): void {
    this.#text += `${text}\n`;
  }

  /** Flushes a full buffer. Returns a promise if the reader has to catch up. */
  flushIfFull(): Promise<unknown> | undefined {
    return this.#text.length >= WRITE_CHARS ? this.flush() : undefined;
  }

  flush(): Promise<unknown> | undefined {
    if (this.#text === "") return undefined;
    const text = this.#text;
    this.#text = "";
    return process.stdout.write(text) ? undefined : once(process.stdout, "drain");
  }
}
