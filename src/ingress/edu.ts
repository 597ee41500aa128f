/**
 * The content of an `m.receipt` EDU (Matrix specification, server-server API, "Receipts") → entries of the log
 * (docs/design.md#requests).
 *
 * Another server wrote it, and nobody has checked it: an item that makes no sense, is private, or is not of the origin's own
 * users is refused alone, and its neighbours are stored. Items and rooms beyond the bounds are refused like those.
 */
import { RECEIPT, type ReceiptEntry } from "../../actors/entry.ts";
import type { EduRejection, EduReply } from "../bus/contract/replies.ts";
import { TidemarkError } from "../errors.ts";
import { EDU_ITEMS_MAX, EDU_REFUSALS_NAMED_MAX, EDU_ROOMS_MAX, ID_CHARS_MAX } from "../limits.ts";
import { type RoomId, roomId, type ServerName, serverOf, userId } from "../matrix/ids.ts";
import { sentEduItem } from "../matrix/receipt-edu.ts";
import { isFederated, READ, typesOf } from "../matrix/receipt-types.ts";
import { type Request, reasonIn } from "./validate.ts";

interface EduRecord {
  readonly room: RoomId;
  readonly entries: readonly ReceiptEntry[];
  /** Its share of the request's size. */
  readonly bytes: number;
}

/** The items of an EDU that are not stored: the first ones by name, so that the reply is bounded, and how many there are. */
export class RefusedItems {
  readonly #named: EduRejection[] = [];
  #count = 0;

  add(room: string, user: string, reason: string): void {
    this.#count++;
    if (this.#named.length === EDU_REFUSALS_NAMED_MAX) return;
    this.#named.push({ room_id: shortened(room), user_id: shortened(user), reason });
  }

  /** The same for all users from an index on. */
  addRest(
    room: string,
    users: readonly string[],
    { from, reason }: { readonly from: number; readonly reason: string },
  ) {
    let at = from;
    while (at < users.length && this.#named.length < EDU_REFUSALS_NAMED_MAX) this.add(room, users[at++]!, reason);
    this.#count += users.length - at;
  }

  get reply(): Pick<EduReply, "rejected" | "rejected_more"> {
    const more = this.#count - this.#named.length;
    return { rejected: this.#named, ...(more > 0 && { rejected_more: more }) };
  }
}

/** One record for each room of the EDU. Adds the items that are refused to `refused`. */
export function eduRecords(origin: ServerName, { value, bytes, at }: Request, refused: RefusedItems): EduRecord[] {
  if (!isObject(value)) throw new TidemarkError("M_INVALID_PARAM", "content: must be an object of rooms");
  const rooms = new Map<RoomId, ReceiptEntry[]>();
  let accepted = 0;
  for (const item of boundedItems(value, refused)) {
    const result = eduEntry([origin, at], item);
    if (typeof result === "string") {
      const [room, , user] = item;
      refused.add(room, user, result);
      continue;
    }
    accepted++;
    const [id, entry] = result;
    const entries = rooms.get(id);
    if (entries === undefined) rooms.set(id, [entry]);
    else entries.push(entry);
  }
  return Array.from(rooms, ([room, entries]) => ({
    room,
    entries,
    bytes: Math.ceil((bytes * entries.length) / accepted),
  }));
}

type EduItem = readonly [room: string, type: string, user: string, item: unknown];

const BEYOND_ITEMS = `is beyond the ${EDU_ITEMS_MAX} items that an EDU may have`;
const BEYOND_ROOMS = `room_id: is beyond the ${EDU_ROOMS_MAX} rooms that an EDU may have`;

/** The items within the bounds. Those beyond are counted without a look at them: there may be tens of thousands. */
function* boundedItems(content: Record<string, unknown>, refused: RefusedItems): Generator<EduItem> {
  let items = 0;
  let rooms = 0;
  for (const room of Object.keys(content)) {
    const isBeyond = ++rooms > EDU_ROOMS_MAX;
    const types = mapOr(content[room], READ);
    for (const type of Object.keys(types)) {
      const users = mapOr(types[type], "");
      const names = Object.keys(users);
      const taken = isBeyond ? 0 : Math.min(names.length, EDU_ITEMS_MAX - items);
      for (let i = 0; i < taken; i++) yield [room, type, names[i]!, users[names[i]!]];
      items += taken;
      refused.addRest(room, names, { from: taken, reason: isBeyond ? BEYOND_ROOMS : BEYOND_ITEMS });
    }
  }
}

/** A value that should be a map and is not stands for one item of it. */
function mapOr(value: unknown, key: string): Record<string, unknown> {
  return isObject(value) ? value : { [key]: value };
}

/** The room and the entry, or the reason why the item is refused. */
function eduEntry(
  [origin, arrived]: readonly [ServerName, number],
  [room, type, user, item]: EduItem,
): readonly [RoomId, ReceiptEntry] | string {
  const roomResult = roomId.safeParse(room);
  if (!roomResult.success) return `room_id: ${reasonIn(roomResult.error)}`;
  if (!isFederated(type)) return `receipt_type: only ${typesOf(isFederated)} crosses federation`;
  const userResult = userId.safeParse(user);
  if (!userResult.success) return `user_id: ${reasonIn(userResult.error)}`;
  if (serverOf(userResult.data) !== origin) return `user_id: is not a user of ${origin}`;
  const receipt = sentEduItem.safeParse(item);
  if (!receipt.success) return reasonIn(receipt.error);
  const { event_ids: events, data } = receipt.data;
  const { ts = arrived, thread_id: thread = null } = data;
  return [roomResult.data, [RECEIPT, userResult.data, type, events[0], thread, ts, origin]];
}

/** A foreign string in a reply: cut to the length of an id, and well-formed. */
function shortened(text: string): string {
  return text.slice(0, ID_CHARS_MAX).toWellFormed();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
