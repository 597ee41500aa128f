/** Test vectors with one expectation changed: whoever runs them has to notice each. */
import type { ClientVector, ServerCheck, ServerVector } from "../../scripts/conformance/vectors.ts";

const NOWHERE = "$nowhere";

type Check = ServerCheck | ClientVector["expect"];
type Counts = NonNullable<Check["unread"]>[string];

/** Returns the vector once for each expectation, with that one changed. */
export function wrongServerVectors(vector: ServerVector): ServerVector[] {
  return vector.steps.flatMap((step, at) => {
    const { expect } = step;
    if (expect === undefined) return [];
    const wrong = [
      ...wrongChecks(expect),
      ...wrongReceipts(expect),
      ...wrongFullyRead(expect, vector),
      ...wrongOrders(expect),
    ];
    return wrong.map((changed) => ({ ...vector, steps: vector.steps.with(at, { ...step, expect: changed }) }));
  });
}

export function wrongClientVectors(vector: ClientVector): ClientVector[] {
  return wrongChecks(vector.expect).map((expect) => ({ ...vector, expect }));
}

function wrongChecks<C extends Check>(check: C): C[] {
  const { read = {}, unread = {}, threads = {} } = check;
  const wrongRead = Object.entries(read).flatMap(([user, events]) =>
    Object.entries(events).map(([event, isRead]) => ({ ...read, [user]: { ...events, [event]: isRead !== true } })),
  );
  const wrongUnread = Object.entries(unread).flatMap(([user, counts]) =>
    wrongCounts(counts).map((changed) => ({ ...unread, [user]: changed })),
  );
  const wrongThreads = Object.keys(threads).map((event) => ({ ...threads, [event]: NOWHERE }));
  return [
    ...wrongRead.map((read) => ({ ...check, read })),
    ...wrongUnread.map((unread) => ({ ...check, unread })),
    ...wrongThreads.map((threads) => ({ ...check, threads })),
  ];
}

function wrongCounts(counts: Counts): Counts[] {
  const { total, main, threads } = counts;
  return [
    { ...counts, total: total + 1 },
    { ...counts, main: main + 1 },
    { ...counts, threads: { ...threads, [NOWHERE]: 1 } },
    ...Object.entries(threads).map(([root, count]) => ({ ...counts, threads: { ...threads, [root]: count + 1 } })),
  ];
}

function wrongReceipts(check: ServerCheck): ServerCheck[] {
  const { receipts } = check;
  if (receipts === undefined) return [];
  const more = { event_id: NOWHERE, receipt_type: "m.read", user_id: "@bob:one.example", order: 0 } as const;
  const changed = receipts.flatMap((receipt, at) => [
    receipts.toSpliced(at, 1),
    receipts.with(at, { ...receipt, order: receipt.order === 0 ? "event" : 0 }),
    receipts.with(at, { ...receipt, thread_id: NOWHERE }),
    receipts.with(at, { ...receipt, receipt_type: receipt.receipt_type === "m.read" ? "m.read.private" : "m.read" }),
    ...(receipt.ts === undefined ? [] : [receipts.with(at, { ...receipt, ts: receipt.ts + 1 })]),
  ]);
  return [[...receipts, more], ...changed].map((wrong) => ({ ...check, receipts: wrong }));
}

function wrongFullyRead(check: ServerCheck, { joined }: ServerVector): ServerCheck[] {
  const { fully_read: markers } = check;
  if (markers === undefined) return [];
  return joined.map((user) => ({ ...check, fully_read: { ...markers, [user]: NOWHERE } }));
}

function wrongOrders(check: ServerCheck): ServerCheck[] {
  const { orders } = check;
  if (orders === undefined) return [];
  const { not_descending, ascending, consecutive, positive, negative, none } = orders;
  const wrong: ServerCheck["orders"][] = [
    ...(not_descending === undefined ? [] : [{ not_descending: not_descending.toReversed() }]),
    ...(ascending === undefined ? [] : [{ ascending: ascending.toReversed() }]),
    ...(consecutive === undefined ? [] : [{ consecutive: consecutive.toReversed() }]),
    ...(positive === undefined ? [] : [{ negative: positive }, { none: positive }]),
    ...(negative === undefined ? [] : [{ positive: negative }, { none: negative }]),
    ...(none === undefined ? [] : [{ positive: none }, { ascending: none }]),
  ];
  return wrong.map((changed) => ({ ...check, orders: changed }));
}
