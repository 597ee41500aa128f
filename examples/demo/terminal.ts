/** Lines on standard output, with colours, and a progress bar on standard error that stays below them. */
import { clearLine, cursorTo } from "node:readline";
import { SingleBar } from "cli-progress";
import { grouped } from "./words.ts";

/** Without a terminal, a line is printed each time this fraction more is done. */
const PLAIN_STEP = 0.25;
const SAVE_CURSOR = "\x1b7";

const coloured = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code: number) => (text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = style(1);
export const dim = style(2);
export const red = style(31);
export const green = style(32);

let bar: SingleBar | undefined;

export function print(line = ""): void {
  if (bar !== undefined) {
    cursorTo(process.stderr, 0);
    clearLine(process.stderr, 0);
  }
  process.stdout.write(`${line}\n`);
}

/** Progress on standard error: a bar on a terminal, plain lines elsewhere. */
export class Progress {
  readonly #total: number;
  #done = 0;
  #printedPart = 0;

  constructor(total: number) {
    this.#total = total;
    if (!process.stderr.isTTY) return;
    bar = new SingleBar({
      format: "{bar} {percentage} % | {value} of {total} requests | {duration_formatted}",
      barCompleteChar: "█",
      barIncompleteChar: "░",
      barsize: 30,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      // `print` overwrites the bar.
      forceRedraw: true,
    });
    bar.start(total, 0);
  }

  /** The fraction that is done. */
  get part(): number {
    return this.#done / this.#total;
  }

  add(): void {
    this.#done++;
    bar?.update(this.#done);
    if (bar !== undefined || this.part < this.#printedPart + PLAIN_STEP) return;
    this.#printedPart += PLAIN_STEP;
    process.stderr.write(`${Math.round(this.part * 100)} % sent: ${grouped(this.#done)} requests\n`);
  }

  /** May be called more than once. */
  end(): void {
    if (bar === undefined) return;
    // The bar restores the cursor that it saved when it began, above all lines printed since: save it here instead.
    process.stderr.write(SAVE_CURSOR);
    bar.stop();
    bar = undefined;
  }
}
