/**
 * Whether a message has what readers of deltas rely on. Anybody who may publish on a client or user subject can write one that has not,
 * and half of it would be in a reader's caches before it fails. Schemas would cost a reader more than all the rest.
 */
type Fields = Readonly<Record<string, unknown>>;

const KINDS: ReadonlySet<unknown> = new Set(["live", "history", "backfill", "state"]);

export function isDelta(type: "events" | "receipts" | "private", message: unknown): boolean {
  if (!isObject(message) || !isText(message.room_id) || !isPosition(message.position)) return false;
  if (type === "private") {
    const { user_id: user, event, fully_read: fullyRead } = message;
    return (
      isText(user) && (event === undefined || isReceipts(event)) && (fullyRead === undefined || isPlace(fullyRead))
    );
  }
  if (!isPosition(message.previous)) return false;
  return type === "receipts" ? isReceipts(message.event) && isErased(message.erased) : isEvents(message);
}

function isEvents({ kind, events, members }: Fields): boolean {
  if (!KINDS.has(kind) || !Array.isArray(events) || !events.every(isOrderedEvent)) return false;
  return members === undefined || (isObject(members) && Object.values(members).every(isMembership));
}

function isOrderedEvent(event: unknown): boolean {
  if (!isObject(event) || !isText(event.event_id) || !isText(event.type) || !isText(event.sender)) return false;
  return isObject(event.content) && isObject(event.unsigned) && isOrder(event.unsigned.order);
}

function isMembership(value: unknown): boolean {
  return isObject(value) && isText(value.membership) && isPosition(value.position);
}

/** `m.receipt`, with receipts by event, type and user. */
function isReceipts(event: unknown): boolean {
  if (!isObject(event) || !isObject(event.content)) return false;
  for (const types of Object.values(event.content)) {
    if (!isObject(types)) return false;
    for (const users of Object.values(types)) {
      if (!isObject(users) || !Object.values(users).every(isReceipt)) return false;
    }
  }
  return true;
}

function isErased(erased: unknown): boolean {
  return erased === undefined || (isObject(erased) && Object.values(erased).every(isTexts));
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isReceipt(data: unknown): boolean {
  return isObject(data) && isOrder(data.order) && (data.thread_id === undefined || isText(data.thread_id));
}

function isPlace(value: unknown): boolean {
  return isObject(value) && isText(value.event_id) && isOrder(value.order);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isOrder(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function isPosition(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
