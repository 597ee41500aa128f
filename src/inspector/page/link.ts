/** Links: the room, the point and what else the page shows, in the part of the address after `#`. */
import type { Axis } from "../../replay/history/chart.ts";

export interface Point {
  readonly room: string | null;
  /** null: the newest position. */
  readonly position: number | null;
  readonly axis: Axis;
  readonly user: string | null;
  /** The event that the "why" panel explains. */
  readonly event: string | null;
}

export function pointOf(hash: string): Point {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const at = Number(parameters.get("at"));
  return {
    room: parameters.get("room"),
    position: parameters.has("at") && Number.isSafeInteger(at) && at >= 0 ? at : null,
    axis: parameters.get("x") === "position" ? "position" : "time",
    user: parameters.get("user"),
    event: parameters.get("event"),
  };
}

export function hashOf({ room, position, axis, user, event }: Point): string {
  const parameters = new URLSearchParams();
  if (room !== null) parameters.set("room", room);
  if (position !== null) parameters.set("at", String(position));
  if (axis !== "time") parameters.set("x", axis);
  if (user !== null) parameters.set("user", user);
  if (event !== null) parameters.set("event", event);
  return `#${parameters}`;
}
