/** The orders in a homeserver's answers, found and removed again without the code that puts them in. */
import type { Body } from "./harness.ts";

const STABLE = "order";
const UNSTABLE = "org.matrix.msc4033.order";
const MEMBERS = `"${STABLE}":(\\d+),"${UNSTABLE}":\\1`;
const ADDED = new RegExp(`"unsigned":\\{${MEMBERS}\\},|(?<=\\{)${MEMBERS.replace("\\1", "\\2")}(?:,|(?=\\}))`, "g");

/** Where events and receipts of others may hide, which have no order. */
const FOREIGN = new Set(["content", "prev_content", "account_data", "to_device", "presence"]);
const IN_UNSIGNED = new Set(["redacted_because", "m.relations"]);

export interface Shown {
  readonly kind: "event" | "receipt";
  readonly event: string;
  /** Under its stable name, and its unstable one. */
  readonly orders: readonly [stable: number | undefined, unstable: number | undefined];
}

/** Returns an answer's text without what was put in. */
export function withoutOrders(text: string): string {
  return text.replace(ADDED, "");
}

/** The events and receipts of an answer, in the order of its text. */
export function shownIn(body: Body): Shown[] {
  if (typeof body !== "object" || body === null) return [];
  const { event_id: event, type, sender, content, unsigned } = body;
  const isEvent = [event, type, sender].every((text) => typeof text === "string") && content !== undefined;
  const own: Shown[] = isEvent ? [{ kind: "event", event, orders: [unsigned?.[STABLE], unsigned?.[UNSTABLE]] }] : [];
  if (type === "m.receipt" && event === undefined && sender === undefined) own.push(...receiptsIn(content));
  const below = Object.entries(body).flatMap(([key, value]) => {
    if (FOREIGN.has(key)) return [];
    if (key !== "unsigned") return shownIn(value);
    return Object.entries(value ?? {}).flatMap(([name, each]) => (IN_UNSIGNED.has(name) ? shownIn(each) : []));
  });
  return [...own, ...below];
}

function receiptsIn(content: Record<string, Record<string, Record<string, Body>>>): Shown[] {
  return Object.entries(content).flatMap(([event, types]) =>
    Object.values(types).flatMap((users) =>
      Object.values(users).map((data): Shown => ({ kind: "receipt", event, orders: [data[STABLE], data[UNSTABLE]] })),
    ),
  );
}
