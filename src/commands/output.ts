/**
 * What commands write to standard output and standard error. No other file of the commands writes there, so that everything
 * from outside is shown as `visible-text.ts` says.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import picocolors from "picocolors";
import { type Paints, paintsOf, plain } from "../replay/history/text.ts";
import { visibleJson, visibleLine, visibleLines } from "./visible-text.ts";

/** Whether to colour standard output: decided by `FORCE_COLOR`, then by `NO_COLOR`, else true on a terminal. */
function isColourWanted({ FORCE_COLOR: force, NO_COLOR: no }: NodeJS.ProcessEnv = process.env): boolean {
  if (force !== undefined && force !== "") return force !== "0" && force !== "false";
  return !no && process.stdout.isTTY === true;
}

/** Stands before each escape sequence that is ours. Nobody outside can guess it. */
const OURS = `\u{1b}${randomBytes(16).toString("hex")}`;
const COLOUR = /^\p{Cc}\[\d+m/u;

/** Colours for the lines of an `Output`, if colours are wanted. */
export function wantedPaints(): Paints {
  if (!isColourWanted()) return plain;
  const colours = picocolors.createColors(true);
  return paintsOf((name) => {
    const [open, close] = colours[name](" ").split(" ");
    return (text) => `${OURS}${open}${text}${OURS}${close}`;
  });
}

/** A visible line in which our own colours are escape sequences. */
function coloured(line: string): string {
  const [first = "", ...others] = line.split(OURS);
  let shown = visibleLine(first);
  for (const piece of others) {
    const colour = COLOUR.exec(piece)?.[0] ?? "";
    shown += colour + visibleLine(piece.slice(colour.length));
  }
  return shown;
}

/** Prints a line. */
export function print(line: string): void {
  process.stdout.write(`${visibleLine(line)}\n`);
}

/** Prints a document that the command has made. */
export function printDocument(text: string): void {
  process.stdout.write(visibleLines(text));
}

/** Prints a line to standard error. */
export function complain(line: string): void {
  process.stderr.write(`${visibleLine(line)}\n`);
}

/** What commander prints: usage, and what is wrong with it; that repeats what was given, which may be a secret. */
export const commanderOutput = {
  writeOut: printDocument,
  writeErr: (text: string) => void process.stderr.write(visibleLines(withoutValues(text))),
};

/** Takes the passwords out of URLs, and the values from options that are not known. */
function withoutValues(text: string): string {
  return text.replace(/:\/\/[^/?#'\s]*@/g, "://").replace(/(?<=unknown option '--?[\w-]+=).*(?=')/gs, "…");
}

const WRITE_CHARS = 65_536;

/** EPIPE is not an error: the reader has seen enough (`| head`). */
function exitOnClosedPipe(error: NodeJS.ErrnoException): never {
  process.exit(error.code === "EPIPE" ? 0 : 1);
}

/** Standard output of commands with much output: buffered, with backpressure. */
export class Output {
  #text = "";

  constructor() {
    if (process.stdout.listeners("error").includes(exitOnClosedPipe)) return;
    process.stdout.on("error", exitOnClosedPipe);
  }

  line(text: string): void {
    this.#text += `${coloured(text)}\n`;
  }

  /** A line of JSON, for tools. */
  json(value: unknown): void {
    this.#text += `${visibleJson(JSON.stringify(value))}\n`;
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
