/** Notices readers that stay where they are although there is more to read: their silence would look like peace. */
interface Seen {
  readonly read: number;
  readonly end: number;
}

export class Standstill {
  readonly #seen = new Map<number, Seen>();

  /** Returns whether a reader has read nothing since it was looked at before, though there was more then. Both are sequences. */
  look(reader: number, now: Seen): boolean {
    const before = this.#seen.get(reader);
    this.#seen.set(reader, now);
    return before !== undefined && before.end > before.read && now.read === before.read;
  }

  /** The reader is another one from now on. */
  forget(reader: number): void {
    this.#seen.delete(reader);
  }
}
