/**
 * Options that several commands share, and their parsers. Each option is also an environment variable
 * (docs/design.md#the-command-line).
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { pino } from "pino";
import { type ServerName, serverName } from "../matrix/ids.ts";
import { visibleJson } from "./visible-text.ts";

/** Of an option that may have a secret: until the process has started, `ps` shows its command line as it is. */
export const SECRET_HINT = "For secrets, its variable is better: others can read command lines";

export const natsOption = () =>
  new Option("--nats <url>", `the broker, nats://host:port[,…]. ${SECRET_HINT}`).env("TIDEMARK_NATS");

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

const FLAG_VALUES: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
};

/**
 * Reads flags from the environment: commander takes any value there for a yes. Returns what is wrong with a variable, if anything
 * is. An empty one is an error: most likely, somebody meant it to have a value.
 */
export function readVariables(command: Command, env: NodeJS.ProcessEnv = process.env): string | undefined {
  for (const option of command.options) {
    const name = option.attributeName();
    if (option.envVar === undefined || command.getOptionValueSource(name) !== "env") continue;
    const text = env[option.envVar] ?? "";
    if (text === "") return `${option.envVar} is empty`;
    if (!option.isBoolean()) continue;
    const value = FLAG_VALUES[text.toLowerCase()];
    if (value === undefined) return `${option.envVar} must be true or false (or yes, no, on, off, 1, 0)`;
    command.setOptionValueWithSource(name, value, "env");
  }
  return undefined;
}

/** Writes structured logs to standard error, as JSON that a terminal doesn't obey. `about`: what each line says of its process. */
export function logger(level: string, about: Readonly<Record<string, string>>) {
  const stderr = pino.destination({ dest: 2, sync: true });
  return pino({ level, base: about }, { write: (line: string) => stderr.write(visibleJson(line)) });
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
  const { protocol, username, password } = URL.canParse(text) ? new URL(text) : { protocol: "" };
  if (!/^https?:$/.test(protocol)) throw new InvalidArgumentError("must be an http(s) URL.");
  if (username || password) throw new InvalidArgumentError("must have no user and no password.");
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
