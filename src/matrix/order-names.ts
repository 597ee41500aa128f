/** How an order is named, in an event's `unsigned` and in a receipt: in MSC4033, and before that is accepted. */
export const STABLE_ORDER = "order";
export const UNSTABLE_ORDER = "org.matrix.msc4033.order";

export const ALL_ORDER_NAMES: ReadonlySet<string> = new Set([STABLE_ORDER, UNSTABLE_ORDER]);

/** In `unstable_features` of `/versions`: events and receipts have orders. */
export const ORDER_FEATURE = "org.matrix.msc4033";

/** An event's `unsigned`, or a receipt. */
interface Ordered {
  readonly [STABLE_ORDER]?: unknown;
  readonly [UNSTABLE_ORDER]?: unknown;
}

/** Returns the order that is said there: under the stable name, if both are there. */
export function orderIn(said: Ordered | undefined): number | undefined {
  const { [STABLE_ORDER]: stable, [UNSTABLE_ORDER]: unstable } = said ?? {};
  if (typeof stable === "number") return stable;
  return typeof unstable === "number" ? unstable : undefined;
}
