/**
 * The passwords that a connection tries: the one of the URL, or those of a file, one a line. The file is read again for each
 * attempt, so that passwords can be changed while everything runs: while the file has the old one and the new one, it doesn't
 * matter which of them the broker takes at the moment (docs/operations.md#changing-passwords).
 */
import { readFileSync } from "node:fs";
import { reasonOf, TidemarkError } from "../../errors.ts";

type Passwords = readonly (string | undefined)[];

export class PasswordChoice {
  readonly #file: string | undefined;
  #known: Passwords;
  /** The one of the newest attempt. */
  #tried: string | undefined;
  /** Whether the broker has taken it. */
  #isTaken = false;

  /** Throws `BUS_UNAVAILABLE` when the file can't be read, or has no password. */
  constructor(password: string | undefined, file: string | undefined) {
    this.#file = file;
    this.#known = file === undefined ? [password] : passwordsIn(file);
  }

  /** All that there are at the moment. */
  get all(): Passwords {
    if (this.#file !== undefined) {
      try {
        this.#known = passwordsIn(this.#file);
      } catch {
        // It is being replaced. What was read before may still be taken.
      }
    }
    return this.#known;
  }

  /** For one attempt. Never throws. Begins with the one that was taken last. */
  next(): string | undefined {
    const all = this.all;
    if (!this.#isTaken || !all.includes(this.#tried)) {
      // At random: servers are tried in turn, too, and a turn of the same length would give each of them the same password for ever.
      this.#tried = all[Math.floor(Math.random() * all.length)];
    }
    this.#isTaken = false;
    return this.#tried;
  }

  /** The broker has taken what `next` returned last. */
  taken(password = this.#tried): void {
    this.#tried = password;
    this.#isTaken = true;
  }
}

function passwordsIn(file: string): Passwords {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TidemarkError("BUS_UNAVAILABLE", `no password for the broker: ${reasonOf(cause)}`, { cause });
  }
  const lines = text.split("\n").map((line) => line.trim());
  const passwords = lines.filter((line) => line !== "");
  if (passwords.length === 0) throw new TidemarkError("BUS_UNAVAILABLE", `${file} has no password for the broker`);
  return passwords;
}
