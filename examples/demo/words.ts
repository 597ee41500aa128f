/** Identifiers and numbers, as the demo prints them. */
import type { ThreadId } from "../../src/matrix/ids.ts";

/** The longest line has two ids, and must fit into 80 columns. */
const EVENT_CHARS = 7;

/** Enough of an event id to recognize it. */
export function short(id: string): string {
  return id.length <= EVENT_CHARS + 4 ? id : `${id.slice(0, EVENT_CHARS)}…`;
}

export function localpart(user: string): string {
  return user.slice(1, user.indexOf(":"));
}

export function inThread(thread: ThreadId | string | null | undefined): string {
  if (thread === null || thread === undefined) return "";
  return thread === "main" ? " in main" : ` in thread ${short(thread)}`;
}

/** 1520 → 1,520. Orders and positions have no commas, as on the bus. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

export function plural(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
}
