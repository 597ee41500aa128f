/**
 * What the fold reads of an event, and nothing else: for a log that is exported without content, and for an event that is too
 * large to be stored whole. The fold does the same with it.
 */
import type { MatrixEvent } from "./event.ts";

/** Keys of `content` by type of event; `m.relates_to` and `redacts` are read of all. */
const CONTENT_KEYS: Readonly<Record<string, readonly string[]>> = {
  "m.room.member": ["membership"],
  "m.room.server_acl": ["allow", "deny", "allow_ip_literals"],
  "m.room.message": ["msgtype"],
};

/** Keys, with those that are read in their values; all of a value whose keys are not named. */
export interface ReadKeys {
  readonly [key: string]: ReadKeys;
}

const ALL: ReadKeys = {};

/** The keys that are read of events of any type. */
export const READ_OF_EVENTS: ReadKeys = {
  ...Object.fromEntries(
    ["event_id", "room_id", "sender", "type", "origin_server_ts", "state_key", "redacts"].map((key) => [key, ALL]),
  ),
  content: {
    ...Object.fromEntries(["redacts", ...Object.values(CONTENT_KEYS).flat()].map((key) => [key, ALL])),
    "m.relates_to": { rel_type: ALL, event_id: ALL },
  },
  unsigned: { prev_content: { membership: ALL } },
};

export function essential(event: MatrixEvent): MatrixEvent {
  const { event_id, type, sender, origin_server_ts, state_key, redacts, room_id } = event;
  const unsigned = essentialUnsigned(event);
  return {
    event_id,
    type,
    sender,
    origin_server_ts,
    content: essentialContent(event),
    ...(state_key !== undefined && { state_key }),
    ...(redacts !== undefined && { redacts }),
    ...(unsigned !== undefined && { unsigned }),
    ...(room_id !== undefined && { room_id }),
  };
}

function essentialContent({ type, content }: MatrixEvent): Record<string, unknown> {
  const reduced: Record<string, unknown> = {};
  if (typeof content.redacts === "string") reduced.redacts = content.redacts;
  const keys = Object.hasOwn(CONTENT_KEYS, type) ? CONTENT_KEYS[type]! : [];
  for (const key of keys) if (Object.hasOwn(content, key)) reduced[key] = content[key];
  const relation = content["m.relates_to"];
  if (typeof relation === "object" && relation !== null) {
    const { rel_type, event_id } = relation as Record<string, unknown>;
    reduced["m.relates_to"] = { rel_type, event_id };
  }
  return reduced;
}

/** F12. The membership before a member event decides whether it began a stay. */
function essentialUnsigned({ type, unsigned }: MatrixEvent): Record<string, unknown> | undefined {
  const before = unsigned?.prev_content;
  if (type !== "m.room.member" || typeof before !== "object" || before === null) return undefined;
  return { prev_content: { membership: (before as Record<string, unknown>).membership } };
}
