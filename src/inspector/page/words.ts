/** Ids, numbers, times and steps as text on the page. */
import { UNKNOWN_THREAD } from "../../../actors/entry.ts";
import type { Step } from "../../replay/history/step.ts";
import { shortId, stepChanges, stepWhat, timeText } from "../../replay/history/text.ts";

export { shortId, stepChanges, stepWhat, timeText };

/** Returns the localpart of a user id. */
export function shortUser(user: string): string {
  const colon = user.indexOf(":");
  return colon > 1 ? user.slice(0, colon) : user;
}

export function number(value: number): string {
  return value.toLocaleString("en");
}

export function markerName({ type, thread }: Pick<Step, "type" | "thread">): string {
  if (thread === null) return `${type}, unthreaded`;
  if (thread === UNKNOWN_THREAD) return `${type}, thread unknown`;
  return thread === "main" ? `${type}, main timeline` : `${type}, thread ${shortId(thread)}`;
}
