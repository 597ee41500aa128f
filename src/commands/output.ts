/** Standard output of commands that say much: gathered into large writes, at the reader's pace. */
import { once } from "node:events";

/** Whether standard output is to be coloured: as `FORCE_COLOR` or `NO_COLOR` say, otherwise on a terminal. */
export function isColourWanted({ FORCE_COLOR: force, NO_COLOR: no }: NodeJS.ProcessEnv = process.env): boolean {
  if (force !== undefined && force !== "") return force !== "0" && force !== "false";
  return !no && process.stdout.isTTY === true;
}

const WRITE_CHARS = 65_536;

/** Whoever reads has seen enough (`| head`). */
function readerGone(error: NodeJS.ErrnoException): never {
  process.exit(error.code === "EPIPE" ? 0 : 1);
}

export class Output {
  #text = "";

  constructor() {
    if (process.stdout.listeners("error").includes(readerGone)) return;
    process.stdout.on("error", readerGone);
  }

  line(text: string): void {
    this.#text += `${text}\n`;
  }

  /** Writes once enough has gathered; a promise when the reader has to catch up. */
  relieve(): Promise<unknown> | undefined {
    return this.#text.length >= WRITE_CHARS ? this.flush() : undefined;
  }

  flush(): Promise<unknown> | undefined {
    if (this.#text === "") return undefined;
    const text = this.#text;
    this.#text = "";
    return process.stdout.write(text) ? undefined : once(process.stdout, "drain");
  }
}
