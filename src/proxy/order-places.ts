/**
 * Finds where orders belong in a homeserver's answer: its events and receipts, by their shape.
 *
 * - An **event** is an object with `event_id`, `type` and `sender`, all text, and `content`. Its order stands in its `unsigned`.
 * - A **receipt** stands in the `content` of an object of type `m.receipt` that has no `event_id` and no `sender`:
 *   `{ "<event>": { "<type>": { "<user>": { "ts", "thread_id"? } } } }`. Its order stands beside `ts`.
 * - Nothing inside `content`, `prev_content`, account data, to-device messages or presence is either: users write there what they
 *   like. Of an event, only `redacted_because`, in its `unsigned` and beside it, and the bundled relations in its `unsigned` are
 *   looked at.
 * - The **room** is the `room_id` of the event, or of the nearest object around it, or the key that begins with `!` under which that
 *   object stands, or else the room in the path of the request.
 * - Of duplicate keys the last counts, as in `JSON.parse`.
 *
 * An order that is there already is cut out: events of other servers may bring one in their `unsigned`.
 */

import type { Steps } from "../in-slices.ts";
import { ALL_ORDER_NAMES } from "../matrix/order-names.ts";
import { type JsonHandler, QUOTE, textAt, walk } from "./json-walk.ts";
import { type EditedObject, ObjectMembers } from "./object-edit.ts";
import { receiptPlaces } from "./receipt-places.ts";

export interface OrderPlace {
  readonly kind: "event" | "receipt";
  /** As it is written; undefined when nothing says it. */
  readonly room: string | undefined;
  readonly eventId: string;
  /** Whether it is an event of a `timeline`, itself and not as a part of another. */
  readonly isTimeline: boolean;
  /** When its sender says that it was sent, Unix time in ms; undefined if it is no such event, or doesn't say it. */
  readonly sentAt: number | undefined;
  /** Where the order goes: the `unsigned` of an event, or a receipt. undefined: the event's `unsigned` is no object. */
  readonly object: EditedObject | undefined;
  /** Whether that object is the event itself, which has no `unsigned` yet. */
  readonly lacksUnsigned: boolean;
}

/** Objects and arrays inside one another in which events are looked for. Homeservers need about 15. */
export const EVENT_NESTING_MAX = 128;

const FOREIGN: ReadonlySet<string | undefined> = new Set([
  "content",
  "prev_content",
  "account_data",
  "to_device",
  "presence",
]);
const REDACTED_BECAUSE = "redacted_because";
const IN_UNSIGNED: ReadonlySet<string | undefined> = new Set([REDACTED_BECAUSE, "m.relations"]);
/** Under which no event is one of a timeline itself. */
const INSIDE_EVENTS: ReadonlySet<string | undefined> = new Set(["unsigned", REDACTED_BECAUSE]);
const NO_NAMES: ReadonlySet<string> = new Set();

/** Returns the places of an answer, in no order; undefined if it is not JSON. `room`: the room in the path. */
export function* orderPlaces(json: Buffer, room: string | undefined): Steps<OrderPlace[] | undefined> {
  const finder = new PlaceFinder(json);
  if (!(yield* walk(json, finder))) return undefined;
  const places: OrderPlace[] = [];
  for (const found of finder.found) {
    if (found instanceof FoundPlace) places.push(found.in(room));
    else yield* found.addTo(places, { json, room });
    if (places.length % STEP_PLACES === 0) yield;
  }
  return places;
}

/** Places of a step. */
const STEP_PLACES = 256;

/** An object or array that is open. */
interface Frame {
  readonly parent: Frame | undefined;
  readonly depth: number;
  /** The key under which it stands, or its array stands. */
  readonly name: string | undefined;
  /** Whether it is the value of a member, not an item of an array. */
  readonly isMember: boolean;
  readonly inTimeline: boolean;
  /** How many places were found before it. */
  readonly foundBefore: number;
  /** undefined for an array. */
  readonly object: OpenObject | undefined;
}

/** What is known of the members of an open object so far. */
interface OpenObject {
  readonly members: ObjectMembers;
  key: string | undefined;
  eventId: string | undefined;
  /** Both are text. */
  type: Span | undefined;
  hasSender: boolean;
  roomId: string | undefined;
  sentAt: number | undefined;
  content: Content | undefined;
  hasIds: boolean;
  /** `none`: there is no object under this name; `other`: there is something else. */
  unsigned: Unsigned | "none" | "other";
  /** Under `redacted_because`, where older forms of an event have it. */
  redactedBecause: FoundRange | undefined;
}

/** Where a value stands. */
interface Span {
  readonly start: number;
  readonly end: number;
}

interface Content extends Span {
  readonly isObject: boolean;
}

/** Places, as a range of what is found. */
interface FoundRange {
  readonly from: number;
  readonly to: number;
}

/** With the places in it. */
interface Unsigned extends FoundRange {
  readonly object: EditedObject;
}

class FoundPlace {
  readonly #place: Omit<OrderPlace, "room">;
  readonly #frame: Frame;

  constructor(frame: Frame, place: Omit<OrderPlace, "room">) {
    this.#frame = frame;
    this.#place = place;
  }

  /** Called when the answer was read to its end: a `room_id` may follow what it is for. */
  in(room: string | undefined): OrderPlace {
    const { kind, eventId, isTimeline, sentAt, object, lacksUnsigned } = this.#place;
    return { kind, room: roomOf(this.#frame) ?? room, eventId, isTimeline, sentAt, object, lacksUnsigned };
  }
}

/** The content of an `m.receipt`, which is looked at later: it may be most of the answer. */
class FoundReceipts {
  readonly #content: Content;
  readonly #frame: Frame;

  constructor(frame: Frame, content: Content) {
    this.#frame = frame;
    this.#content = content;
  }

  *addTo(
    places: OrderPlace[],
    { json, room }: { readonly json: Buffer; readonly room: string | undefined },
  ): Steps<void> {
    for (const receipt of yield* receiptPlaces(json, this.#content)) {
      const place = {
        kind: "receipt",
        ...receipt,
        isTimeline: false,
        sentAt: undefined,
        lacksUnsigned: false,
      } as const;
      places.push(new FoundPlace(this.#frame, place).in(room));
      if (places.length % STEP_PLACES === 0) yield;
    }
  }
}

function roomOf(frame: Frame): string | undefined {
  for (let each: Frame | undefined = frame; each !== undefined; each = each.parent) {
    if (each.object?.roomId !== undefined) return each.object.roomId;
    if (each.isMember && each.name?.startsWith("!")) return each.name;
  }
  return undefined;
}

class PlaceFinder implements JsonHandler {
  found: (FoundPlace | FoundReceipts)[] = [];
  readonly #json: Buffer;
  #frame: Frame | undefined;
  /** Where a container begins whose inside is not looked at. */
  #passedOver: { readonly start: number; readonly isObject: boolean } | undefined;

  constructor(json: Buffer) {
    this.#json = json;
  }

  open(at: number, isObject: boolean): boolean {
    const parent = this.#frame;
    const key = parent?.object?.key;
    if (parent !== undefined && (parent.depth >= EVENT_NESTING_MAX || isForeign(parent, key))) {
      this.#passedOver = { start: at, isObject };
      return false;
    }
    const isMember = parent?.object !== undefined;
    const name = isMember ? key : parent?.name;
    this.#frame = {
      parent,
      depth: (parent?.depth ?? 0) + 1,
      name,
      isMember,
      inTimeline: !INSIDE_EVENTS.has(name) && (parent?.inTimeline === true || name === "timeline"),
      foundBefore: this.found.length,
      object: isObject ? opened(at, isMember && key === "unsigned") : undefined,
    };
    return true;
  }

  key(text: string | undefined, at: number): void {
    const { object } = this.#frame!;
    object!.key = text;
    object!.members.begin(text, at);
  }

  scalar(start: number, end: number): void {
    this.#valueEnded(start, end, false);
  }

  close(end: number): void {
    if (this.#passedOver !== undefined) {
      const { start, isObject } = this.#passedOver;
      this.#passedOver = undefined;
      this.#valueEnded(start, end, isObject);
      return;
    }
    const frame = this.#frame!;
    this.#frame = frame.parent;
    if (frame.object !== undefined) this.#objectEnded(frame, frame.object);
    this.#valueEnded(-1, end, frame.object !== undefined);
    const around = frame.parent?.object;
    const range = { from: frame.foundBefore, to: this.found.length };
    if (around?.key === REDACTED_BECAUSE) around.redactedBecause = range;
    if (around?.key !== "unsigned" || frame.object === undefined) return;
    around.unsigned = { object: frame.object.members.close(), ...range };
  }

  /** `start`: −1 for an object or array whose inside was looked at. */
  #valueEnded(start: number, end: number, isObject: boolean): void {
    const object = this.#frame?.object;
    if (object === undefined) return;
    object.members.end(end);
    switch (object.key) {
      case "event_id":
        object.eventId = textOf(this.#json, start, end);
        object.hasIds = true;
        break;
      case "type":
        object.type = isText(this.#json, start) ? { start, end } : undefined;
        break;
      case "sender":
        object.hasSender = isText(this.#json, start);
        object.hasIds = true;
        break;
      case "room_id":
        object.roomId = textOf(this.#json, start, end);
        break;
      case "origin_server_ts":
        object.sentAt = this.#frame?.inTimeline && start >= 0 ? numberAt(this.#json, start, end) : undefined;
        break;
      case "content":
        object.content = { start, end, isObject };
        break;
      case "unsigned":
        object.unsigned = "other";
        break;
      case REDACTED_BECAUSE:
        object.redactedBecause = undefined;
        break;
    }
  }

  #objectEnded(frame: Frame, object: OpenObject): void {
    const { eventId, type, hasSender, content, unsigned, redactedBecause } = object;
    if (content === undefined || type === undefined || isUnsigned(frame)) return;
    if (eventId !== undefined && hasSender) {
      if (this.found.length > frame.foundBefore) this.#keepInside(frame, [unsigned, redactedBecause]);
      this.found.push(
        new FoundPlace(frame, {
          kind: "event",
          eventId,
          isTimeline: frame.inTimeline,
          sentAt: object.sentAt,
          object: unsigned === "none" ? object.members.close() : unsigned === "other" ? undefined : unsigned.object,
          lacksUnsigned: unsigned === "none",
        }),
      );
    } else if (!object.hasIds && content.isObject && textAt(this.#json, type.start, type.end) === "m.receipt") {
      this.found.push(new FoundReceipts(frame, content));
    }
  }

  /** Of what was found in an event, the last `unsigned` and `redacted_because` count. */
  #keepInside({ foundBefore }: Frame, ranges: readonly (FoundRange | string | undefined)[]): void {
    const inside = ranges.flatMap((range) => (typeof range === "object" ? this.found.slice(range.from, range.to) : []));
    this.found.length = foundBefore;
    for (const place of inside) this.found.push(place);
  }
}

/** `start`: −1 for an object or array, which is no text. */
function textOf(json: Buffer, start: number, end: number): string | undefined {
  return start < 0 ? undefined : textAt(json, start, end);
}

function isText(json: Buffer, start: number): boolean {
  return json[start] === QUOTE;
}

/** Whether nothing under this key is looked at. */
function isForeign(frame: Frame, key: string | undefined): boolean {
  if (frame.object === undefined) return false;
  return FOREIGN.has(key) || (isUnsigned(frame) && !IN_UNSIGNED.has(key));
}

function numberAt(json: Buffer, start: number, end: number): number | undefined {
  const number = Number(json.toString("latin1", start, end));
  return Number.isFinite(number) ? number : undefined;
}

function isUnsigned({ isMember, name }: Frame): boolean {
  return isMember && name === "unsigned";
}

function opened(at: number, isUnsigned: boolean): OpenObject {
  return {
    members: new ObjectMembers(at + 1, isUnsigned ? ALL_ORDER_NAMES : NO_NAMES),
    key: undefined,
    eventId: undefined,
    type: undefined,
    hasSender: false,
    roomId: undefined,
    sentAt: undefined,
    content: undefined,
    hasIds: false,
    unsigned: "none",
    redactedBecause: undefined,
  };
}
