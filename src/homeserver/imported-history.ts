/**
 * The history of a room that is imported, read from a homeserver, newest first.
 *
 *     newest                                                                                         oldest
 *     │ not known: will be pushed │ known … │ oldest known event │ not known: history          │ older still │
 *                                                                ╰─ held until all of it is read ╯
 *
 * It is read from the oldest known event backwards. Where no event is known, or the homeserver doesn't have that one any more, it
 * is read from its end. Then events that are newer than a known one are left out: if they are not known, the homeserver is
 * about to push them, and they would be on the wrong side of those that it has pushed already.
 */
import type { Position } from "../../actors/entry.ts";
import { inSlices, type Steps } from "../in-slices.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { ID_SEPARATOR } from "../matrix/id-grammar.ts";
import type { RoomId } from "../matrix/ids.ts";
import type { HomeserverClient } from "./homeserver-client.ts";
import type { KnownHistory } from "./known-history.ts";
import { pushedEvent } from "./transaction.ts";

/** Events that are held in memory until they are stored, as JSON. Beyond that, pages are stored one by one. */
const HELD_BYTES_MAX = 67_108_864;

interface HistoryOptions {
  readonly homeserver: HomeserverClient;
  readonly room: RoomId;
  readonly known: KnownHistory;
  /** Where reading begins: the token before the oldest known event. undefined: at the end. */
  readonly from: string | undefined;
  /** Default: `HELD_BYTES_MAX`. */
  readonly heldBytesMax?: number | undefined;
  /** Called with each page that is read. */
  readonly onPage: (events: readonly MatrixEvent[]) => void;
}

interface HeldHistory {
  readonly events: readonly MatrixEvent[];
  /** None of the events was known as of this position; undefined where they are behind a known event. */
  readonly asOf?: Position;
}

export class ImportedHistory {
  readonly #known: KnownHistory;
  readonly #heldBytesMax: number;
  readonly #pages: AsyncGenerator<readonly MatrixEvent[]>;
  readonly #onPage: (events: readonly MatrixEvent[]) => void;
  /** Whether all that is still to be read is older than a known event. */
  #isBehind: boolean;
  #held: readonly MatrixEvent[] = [];

  constructor({ homeserver, room, known, from, onPage, heldBytesMax = HELD_BYTES_MAX }: HistoryOptions) {
    this.#known = known;
    this.#heldBytesMax = heldBytesMax;
    this.#pages = pagesOf(homeserver, room, from);
    this.#onPage = onPage;
    this.#isBehind = from !== undefined;
  }

  /** Reads events until there are `count`, or `heldBytesMax` of them; at least a page. */
  async hold(count: number): Promise<void> {
    let bytes = 0;
    do {
      const page = await this.#next();
      if (page === undefined) return;
      this.#held = [...this.#held, ...page];
      for (const event of page) bytes += Buffer.byteLength(JSON.stringify(event));
      if (this.#isBehind) continue;
      const { events } = await this.#known.behindKnown(page);
      if (events === undefined) continue;
      this.#isBehind = true;
      this.#held = events;
    } while (this.#held.length < count && bytes < this.#heldBytesMax);
  }

  /** Returns what is held, without what has been pushed since it was read, and what is newer. May be called again. */
  async held(): Promise<HeldHistory> {
    if (this.#isBehind) return { events: this.#held };
    const { events, asOf } = await this.#known.behindKnown(this.#held);
    if (events === undefined) return { events: this.#held, asOf };
    this.#isBehind = true;
    this.#held = events;
    return { events };
  }

  /** Returns what follows, page by page. */
  async *rest(): AsyncGenerator<readonly MatrixEvent[]> {
    this.#held = [];
    for (let page = await this.#next(); page !== undefined; page = await this.#next()) yield page;
  }

  async #next(): Promise<readonly MatrixEvent[] | undefined> {
    const { done, value } = await this.#pages.next();
    if (done) return undefined;
    this.#onPage(value);
    return value;
  }
}

/** Pages without any event that may follow each other: a homeserver leaves out what it doesn't show. */
const EMPTY_PAGES_MAX = 1_000;

/** Ends where there is no next page, and where a homeserver goes round: with a token, or a page, that was read before. */
async function* pagesOf(
  homeserver: HomeserverClient,
  room: RoomId,
  from: string | undefined,
): AsyncGenerator<readonly MatrixEvent[]> {
  const tokens = new Set<string | undefined>();
  const pages = new Set<string>();
  let empty = 0;
  for (let token = from; !tokens.has(token); ) {
    tokens.add(token);
    const { chunk, end } = await homeserver.messages(room, token);
    const events = await eventsOf(room, chunk);
    empty = events.length === 0 ? empty + 1 : 0;
    const page = [events.length, events[0]?.event_id, events.at(-1)?.event_id].join(ID_SEPARATOR);
    if (empty > EMPTY_PAGES_MAX || (empty === 0 && pages.has(page))) return;
    pages.add(page);
    yield events;
    if (!end) return;
    token = end;
  }
}

/** Returns the well-formed events of the room, as stored. */
export function eventsOf(room: RoomId, values: readonly unknown[]): Promise<MatrixEvent[]> {
  return inSlices(readEvents(room, values));
}

function* readEvents(room: RoomId, values: readonly unknown[]): Steps<MatrixEvent[]> {
  const events: MatrixEvent[] = [];
  for (const value of values) {
    const event = pushedEvent(value, () => {});
    if (event !== undefined && (event.room_id ?? room) === room) events.push(event);
    yield;
  }
  return events;
}
