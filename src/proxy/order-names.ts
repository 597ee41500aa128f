/** How an order is named, in an event's `unsigned` and in a receipt: in MSC4033, and before that is accepted. */
export const STABLE_ORDER = "order";
export const UNSTABLE_ORDER = "org.matrix.msc4033.order";

export const ALL_ORDER_NAMES: ReadonlySet<string> = new Set([STABLE_ORDER, UNSTABLE_ORDER]);
