/**
 * The markers of its own user that a homeserver's `/sync` shows to a client. Nothing else tells surely of one that was set past the proxy: an `m.fully_read` is
 * pushed nowhere, and a receipt is lost when its push fails.
 *
 *     /sync:          rooms.join.<room>.account_data.events[] ─┐
 *     sliding sync:   extensions.account_data.rooms.<room>[] ──┴─▶ { "type": "m.fully_read", "content": { "event_id": … } }
 *
 *     /sync:          rooms.join.<room>.ephemeral.events[] ────┐
 *     sliding sync:   extensions.receipts.rooms.<room> ────────┴─▶ { "content": { "<event>": { "<type>": { "<user>": { "thread_id"? } } } } }
 *
 * Most answers have none, which a look for the names tells. Nobody but the homeserver writes at these places.
 */
import type { Steps } from "../in-slices.ts";
import type { UserId } from "../matrix/ids.ts";
import { FULLY_READ, isThreaded, READ, READ_PRIVATE, type ReceiptType } from "../matrix/receipt-types.ts";
import { type JsonHandler, textAt, walk } from "./json-walk.ts";

/** As they are written. */
export interface ShownMarker {
  readonly room: string;
  readonly eventId: string;
  readonly type: ReceiptType;
  /** Of a receipt; undefined for an unthreaded one. */
  readonly thread?: string;
}

const ITEM = "[]";
const ROOM = "!";
const EVENT = "$";
const TYPE = "type";
const USER = "@";
/** The keys under which an `m.fully_read` has its content. */
const FULLY_READ_PLACES = [
  ["rooms", "join", ROOM, "account_data", "events", ITEM, "content"],
  ["extensions", "account_data", "rooms", ROOM, ITEM, "content"],
];
/** The keys under which a receipt stands. */
const RECEIPT_PLACES = [
  ["rooms", "join", ROOM, "ephemeral", "events", ITEM, "content", EVENT, TYPE, USER],
  ["extensions", "receipts", "rooms", ROOM, "content", EVENT, TYPE, USER],
];
const TYPES: ReadonlySet<string | undefined> = new Set([READ, READ_PRIVATE]);

const FULLY_READ_NAME = Buffer.from(JSON.stringify(FULLY_READ));
const RECEIPT_NAME = Buffer.from(JSON.stringify("m.receipt"));
/** Bytes of a step. */
const STEP_BYTES = 1_048_576;

/** `user`: whose receipts are looked for. Default: nobody's. Returns none for what is no JSON. */
export function* shownMarkers(json: Buffer, user?: UserId): Steps<ShownMarker[]> {
  const hasFullyRead = yield* has(json, FULLY_READ_NAME);
  const hasReceipts = user !== undefined && (yield* has(json, RECEIPT_NAME));
  if (!hasFullyRead && !hasReceipts) return [];
  const finder = new MarkerFinder(json, hasReceipts ? user : undefined);
  return (yield* walk(json, finder)) ? finder.found : [];
}

function* has(json: Buffer, name: Buffer): Steps<boolean> {
  for (let from = 0; from < json.length; from += STEP_BYTES) {
    if (json.subarray(from, from + STEP_BYTES + name.length - 1).includes(name)) return true;
    yield;
  }
  return false;
}

/** An object or array that is open, and under which key. */
interface Frame {
  readonly isObject: boolean;
  readonly name: string | undefined;
}

class MarkerFinder implements JsonHandler {
  readonly found: ShownMarker[] = [];
  readonly #json: Buffer;
  readonly #user: UserId | undefined;
  readonly #places: readonly (readonly string[])[];
  /** Without the whole answer. */
  readonly #path: Frame[] = [];
  #depth = 0;
  #key: string | undefined;
  #type: string | undefined;
  #eventId: string | undefined;
  #thread: string | undefined;

  constructor(json: Buffer, user: UserId | undefined) {
    this.#json = json;
    this.#user = user;
    this.#places = user === undefined ? FULLY_READ_PLACES : [...FULLY_READ_PLACES, ...RECEIPT_PLACES];
  }

  open(_: number, isObject: boolean): boolean {
    if (this.#depth++ === 0) return isObject;
    const isItem = this.#path.at(-1)?.isObject === false;
    this.#path.push({ isObject, name: isItem ? ITEM : this.#key });
    if (isItem) {
      this.#type = undefined;
      this.#eventId = undefined;
    }
    const isOn = this.#places.some((place) => this.#isOn(place));
    if (isOn) this.#thread = undefined;
    return isOn;
  }

  key(text: string | undefined): void {
    this.#key = text;
  }

  scalar(start: number, end: number): void {
    const name = this.#path.at(-1)?.name;
    if (name === ITEM && this.#key === "type") this.#type = textAt(this.#json, start, end);
    if (name === "content" && this.#key === "event_id") this.#eventId = textAt(this.#json, start, end);
    if (this.#key === "thread_id") this.#thread = textAt(this.#json, start, end);
  }

  close(): void {
    if (--this.#depth === 0) return;
    const place = this.#places.find(
      (each) => each.length === this.#path.length + Number(isFullyRead(each)) && this.#isOn(each),
    );
    if (place !== undefined) this.#add(place);
    this.#path.pop();
  }

  /** A marker ends here, if it is one. */
  #add(place: readonly string[]): void {
    const room = this.#at(place, ROOM)!;
    if (isFullyRead(place)) {
      if (this.#type === FULLY_READ && this.#eventId !== undefined)
        this.found.push({ room, eventId: this.#eventId, type: FULLY_READ });
      return;
    }
    if (this.#path.at(-1)?.isObject === false) return;
    const type = this.#at(place, TYPE) as ReceiptType;
    const thread = isThreaded(type) ? this.#thread : undefined;
    this.found.push({ room, eventId: this.#at(place, EVENT)!, type, ...(thread !== undefined && { thread }) });
  }

  #at(place: readonly string[], part: string): string | undefined {
    return this.#path[place.indexOf(part)]?.name;
  }

  /** Whether what is open is this place, or around it. */
  #isOn(place: readonly string[]): boolean {
    return this.#path.length <= place.length && this.#path.every(({ name }, i) => this.#isPart(place[i]!, name));
  }

  #isPart(part: string, name: string | undefined): boolean {
    if (part === USER) return name === this.#user;
    if (part === TYPE) return TYPES.has(name);
    return part === name || ((part === ROOM || part === EVENT) && name?.startsWith(part) === true);
  }
}

/** An `m.fully_read` ends with the event around its content. */
function isFullyRead(place: readonly string[]): boolean {
  return FULLY_READ_PLACES.includes(place as string[]);
}
