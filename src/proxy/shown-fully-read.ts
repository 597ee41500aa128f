/**
 * The `m.fully_read` markers that a homeserver's `/sync` shows to a client. They are account data, which is pushed nowhere, so nothing else
 * tells of one that was set past the proxy.
 *
 *     /sync:          rooms.join.<room>.account_data.events[] ─┐
 *     sliding sync:   extensions.account_data.rooms.<room>[] ──┴─▶ { "type": "m.fully_read", "content": { "event_id": … } }
 *
 * Most answers have none, which a look for its name tells. Nobody but the user writes at these places.
 */
import type { Steps } from "../in-slices.ts";
import { FULLY_READ } from "../matrix/receipt-types.ts";
import { type JsonHandler, textAt, walk } from "./json-walk.ts";

export interface ShownMarker {
  readonly room: string;
  readonly eventId: string;
}

const ITEM = "[]";
const ROOM = "*";
/** The keys under which an event's `content` stands. */
const PLACES = [
  ["rooms", "join", ROOM, "account_data", "events", ITEM, "content"],
  ["extensions", "account_data", "rooms", ROOM, ITEM, "content"],
];
const NAME = Buffer.from(JSON.stringify(FULLY_READ));
/** Bytes of a step. */
const STEP_BYTES = 1_048_576;

/** Returns none for what is no JSON. */
export function* shownFullyRead(json: Buffer): Steps<ShownMarker[]> {
  let isNamed = false;
  for (let from = 0; from < json.length && !isNamed; from += STEP_BYTES) {
    isNamed = json.subarray(from, from + STEP_BYTES + NAME.length - 1).includes(NAME);
    yield;
  }
  if (!isNamed) return [];
  const finder = new FullyReadFinder(json);
  return (yield* walk(json, finder)) ? finder.found : [];
}

/** An object or array that is open, and under which key. */
interface Frame {
  readonly isObject: boolean;
  readonly name: string | undefined;
}

class FullyReadFinder implements JsonHandler {
  readonly found: ShownMarker[] = [];
  readonly #json: Buffer;
  /** Without the whole answer. */
  readonly #path: Frame[] = [];
  #depth = 0;
  #key: string | undefined;
  #type: string | undefined;
  #eventId: string | undefined;

  constructor(json: Buffer) {
    this.#json = json;
  }

  open(_: number, isObject: boolean): boolean {
    if (this.#depth++ === 0) return isObject;
    const isItem = this.#path.at(-1)?.isObject === false;
    this.#path.push({ isObject, name: isItem ? ITEM : this.#key });
    if (isItem) {
      this.#type = undefined;
      this.#eventId = undefined;
    }
    return PLACES.some((place) => this.#isOn(place));
  }

  key(text: string | undefined): void {
    this.#key = text;
  }

  scalar(start: number, end: number): void {
    const name = this.#path.at(-1)?.name;
    if (name === ITEM && this.#key === "type") this.#type = textAt(this.#json, start, end);
    if (name === "content" && this.#key === "event_id") this.#eventId = textAt(this.#json, start, end);
  }

  close(): void {
    if (--this.#depth === 0) return;
    const place = PLACES.find((each) => each.length - 1 === this.#path.length && this.#isOn(each));
    const room = place && this.#path[place.indexOf(ROOM)]?.name;
    if (room !== undefined && this.#type === FULLY_READ && this.#eventId !== undefined)
      this.found.push({ room, eventId: this.#eventId });
    this.#path.pop();
  }

  /** Whether what is open is this place, or around it. */
  #isOn(place: readonly string[]): boolean {
    return (
      this.#path.length <= place.length &&
      this.#path.every(({ name }, i) => place[i] === name || (place[i] === ROOM && name?.startsWith("!")))
    );
  }
}
