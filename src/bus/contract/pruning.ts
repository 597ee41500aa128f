/**
 * Values in an event that can't be carried are pruned, each alone: a homeserver passes on what other servers wrote, and
 * an event that was left out for one value would have no order, and its neighbours another one (docs/design.md#requests).
 *
 * | value | what becomes of it |
 * | --- | --- |
 * | nested deeper than `DEPTH_MAX`, or a number that is not finite | its key is left out; in an array it is `null` |
 * | a key named `__proto__` | left out, with its value |
 * | text with lone surrogates, which UTF-8 can't write | they are U+FFFD |
 *
 * Nothing here needs Node: the inspector's page reads exported logs.
 */
import { DEPTH_MAX } from "../../limits.ts";

/* Faults of one value: for what is no event, the message is refused with these reasons. */
export const NOT_FINITE = "a number that is not finite";
export const PROTO_KEY = "a key named __proto__";
export const TOO_DEEP = `nested more than ${DEPTH_MAX} deep`;

/** Why something of an event is not stored: besides the above, a field that is none, and an event that is too large. */
export type PrunedReason = "depth" | "number" | "proto" | "text" | "field" | "size";

/** Called once per value. */
export type OnPruned = (reason: PrunedReason) => void;

type Json = Record<string, unknown>;

/**
 * Returns the event without what can't be carried; the same object if that is nothing. Its own keys, and strings and
 * numbers of them, are left as they are, for the schema: it knows which are identifiers, and clamps times. `undefined` in it
 * stands for what the decoder found nested too deep.
 * `depth`: how many maps and arrays the event is in.
 */
export function prunedEvent(event: Json, depth: number, onPruned: OnPruned): Json {
  return prunedMap(event, depth, onPruned, "event");
}

/** Returns undefined if the value itself is pruned. */
function pruned(value: unknown, depth: number, onPruned: OnPruned): unknown {
  switch (typeof value) {
    case "number":
      if (Number.isFinite(value)) return value;
      onPruned("number");
      return undefined;
    case "string":
      return wellFormed(value, onPruned);
    case "undefined":
      onPruned("depth");
      return undefined;
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (depth >= DEPTH_MAX) {
    onPruned("depth");
    return undefined;
  }
  return Array.isArray(value) ? prunedArray(value, depth, onPruned) : prunedMap(value as Json, depth, onPruned);
}

function prunedArray(array: readonly unknown[], depth: number, onPruned: OnPruned): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < array.length; i++) {
    const item = array[i];
    const kept = pruned(item, depth + 1, onPruned);
    if (kept === item && kept !== undefined) continue;
    copy ??= [...array];
    copy[i] = kept ?? null;
  }
  return copy ?? array;
}

function prunedMap(map: Json, depth: number, onPruned: OnPruned, kind: "event" | "value" = "value"): Json {
  let copy: Json | undefined;
  for (const key of Object.keys(map)) {
    if (key === "__proto__") {
      copy ??= withoutProto(map);
      onPruned("proto");
      continue;
    }
    const value = map[key];
    if (kind === "event" && (typeof value === "string" || typeof value === "number")) continue;
    const kept = pruned(value, depth + 1, onPruned);
    const name = kind === "event" ? key : wellFormed(key, onPruned);
    if (kept === value && kept !== undefined && name === key) continue;
    copy ??= withoutProto(map);
    if (kept === undefined || name !== key) delete copy[key];
    if (kept !== undefined) copy[name] = kept;
  }
  return copy ?? map;
}

function withoutProto(map: Json): Json {
  const copy: Json = {};
  for (const key of Object.keys(map)) if (key !== "__proto__") copy[key] = map[key];
  return copy;
}

function wellFormed(text: string, onPruned: OnPruned): string {
  if (text.isWellFormed()) return text;
  onPruned("text");
  return text.toWellFormed();
}

/** Returns why a decoded value that is no event is not accepted: nothing is pruned there. */
export function valueFault(value: unknown, depth = 0): string | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : NOT_FINITE;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === DEPTH_MAX) return TOO_DEEP;
  if (Array.isArray(value)) {
    for (const item of value) {
      const fault = valueFault(item, depth + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  for (const key of Object.keys(value)) {
    if (key === "__proto__") return PROTO_KEY;
    const fault = valueFault((value as Json)[key], depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/**
 * Prunes the events of a request: the map that it is, or those in the array that it is, or has as `events`. Throws nothing:
 * returns why the request is not accepted if the fault is not inside an event.
 */
export function prunedRequest(value: unknown, onPruned: OnPruned): Pruned<unknown> {
  if (Array.isArray(value)) return prunedItems(value, 1, onPruned);
  if (isMap(value)) {
    const { events, ...others } = value;
    if (!Array.isArray(events) || Object.hasOwn(value, "event_id")) return { value: prunedEvent(value, 0, onPruned) };
    const items = prunedItems(events, 2, onPruned);
    return "fault" in items ? items : { value: { ...prunedEvent(others, 0, onPruned), events: items.value } };
  }
  const fault = valueFault(value);
  return fault === undefined ? { value } : { fault };
}

type Pruned<T> = { readonly value: T } | { readonly fault: string };

function prunedItems(items: readonly unknown[], depth: number, onPruned: OnPruned): Pruned<readonly unknown[]> {
  let copy: unknown[] | undefined;
  for (let i = 0; i < items.length; i++) {
    const item: unknown = items[i];
    if (isMap(item)) {
      const kept = prunedEvent(item, depth, onPruned);
      if (kept !== item) {
        copy ??= [...items];
        copy[i] = kept;
      }
    } else {
      const fault = valueFault(item, depth);
      if (fault !== undefined) return { fault };
    }
  }
  return { value: copy ?? items };
}

function isMap(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
