/** A logger that keeps its lines, for tests of what an operator reads. */
import { type Logger, pino } from "pino";

interface LoggedLine {
  readonly level: number;
  readonly msg: string;
  readonly reason?: string;
  readonly [key: string]: unknown;
}

export function logged(): { readonly log: Logger; readonly lines: readonly LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const log = pino({ level: "info", base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}
