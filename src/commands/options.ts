/**
 * Options that several commands share, and their parsers. Each option is also an environment variable
 * (docs/design.md#the-command-line).
 */
import { InvalidArgumentError, Option } from "commander";
import { pino } from "pino";
import { type ServerName, serverName } from "../matrix/ids.ts";
import { visibleJson } from "./visible-text.ts";

export const natsOption = () => new Option("--nats <url>", "the broker, nats://host:port[,…]").env("TIDEMARK_NATS");

export const natsPasswordFileOption = () =>
  new Option(
    "--nats-password-file <file>",
    "the password of the user in --nats; two, one a line, while it is being changed; read for each attempt to connect",
  ).env("TIDEMARK_NATS_PASSWORD_FILE");

export const dataOption = () =>
  new Option("--data <dir>", "the folder for all state").env("TIDEMARK_DATA").default("tidemark-data");

export const logLevelOption = () =>
  new Option("--log-level <level>", "of the logs on standard error")
    .env("TIDEMARK_LOG_LEVEL")
    .choices(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
    .default("info");

/** Writes structured logs to standard error, as JSON that a terminal doesn't obey. */
export function logger(level: string) {
  const stderr = pino.destination({ dest: 2, sync: true });
  return pino({ level, base: null }, { write: (line: string) => stderr.write(visibleJson(line)) });
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export function address(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535)
    throw new InvalidArgumentError("must be <host:port>; port 0 means any free port.");
  return { host, port };
}

/** Parses the base URL of a server. */
export function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError("must be an http(s) URL.");
  return text;
}

/** Parses an integer within bounds. */
export function integer(min: number, max: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`must be an integer from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Parses server names. The option can be repeated, and each value can be a list, separated by commas or spaces. */
export function serverNames(text: string, before: readonly ServerName[] = []): readonly ServerName[] {
  const names = [...before];
  for (const name of text.split(/[\s,]+/)) {
    const parsed = serverName.safeParse(name);
    if (!parsed.success) throw new InvalidArgumentError(`"${name}" is not a server name.`);
    names.push(parsed.data);
  }
  return names;
}

/** Parses a comma-separated list of the given names. */
export function someOf<T extends string>(names: readonly T[]) {
  return (text: string): ReadonlySet<T> => {
    const chosen = text.split(",").map((name) => name.trim());
    for (const name of chosen) {
      if (!names.includes(name as T)) throw new InvalidArgumentError(`must be a list of ${names.join(",")}.`);
    }
    return new Set(chosen as T[]);
  };
}
