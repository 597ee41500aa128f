/**
 * Receipt types and their rules, in one table: schemas, the fold, publishing, snapshots, federation and the gateway's routes
 * follow it. For a new type, add a row: what can't be decided by a rule then doesn't compile.
 *
 * No package is imported here, so that a browser can bundle it.
 */

interface ReceiptRules {
  /** Only its user may see it. Everybody in the room may see one that isn't private. */
  readonly private: boolean;
  /** It may be of one thread. Otherwise a `thread_id` is refused. */
  readonly threaded: boolean;
  /** It marks events as read: F12, F13. */
  readonly counts: boolean;
  /** It is sent to other servers, and accepted from them. */
  readonly federated: boolean;
  /** How clients get it: in `m.receipt` events, or as account data of this type. */
  readonly shownAs: ShownAs;
}

export type ShownAs = "m.receipt" | "m.fully_read";

const RULES = {
  "m.read": { private: false, threaded: true, counts: true, federated: true, shownAs: "m.receipt" },
  "m.read.private": { private: true, threaded: true, counts: true, federated: false, shownAs: "m.receipt" },
  "m.fully_read": { private: true, threaded: false, counts: false, federated: false, shownAs: "m.fully_read" },
} as const satisfies Readonly<Record<string, ReceiptRules>>;

type Rules = typeof RULES;
export type ReceiptType = keyof Rules;

/** The types that federate. */
export type FederatedType = { [T in ReceiptType]: Rules[T]["federated"] extends true ? T : never }[ReceiptType];

export const READ = "m.read" satisfies ReceiptType;
export const READ_PRIVATE = "m.read.private" satisfies ReceiptType;
export const FULLY_READ = "m.fully_read" satisfies ReceiptType;

export const RECEIPT_TYPES = Object.keys(RULES) as readonly ReceiptType[];

type YesOrNo = { [R in keyof ReceiptRules]: ReceiptRules[R] extends boolean ? R : never }[keyof ReceiptRules];

/** For the fold, which asks about strings that were just decoded: comparing one with these costs less than hashing it. */
function typesWith(rule: YesOrNo): readonly string[] {
  return RECEIPT_TYPES.filter((type) => RULES[type][rule]);
}

const PRIVATE = typesWith("private");
const THREADED = typesWith("threaded");
const FEDERATED = typesWith("federated");

export function countsAsRead(type: ReceiptType): boolean {
  return READING_TYPES.includes(type);
}

/** The types that mark events as read. */
export const READING_TYPES: readonly ReceiptType[] = RECEIPT_TYPES.filter((type) => RULES[type].counts);

export function isPrivate(type: ReceiptType): boolean {
  return PRIVATE.includes(type);
}

export function isThreaded(type: ReceiptType): boolean {
  return THREADED.includes(type);
}

/** `type` may be any text that another server sent. */
export function isFederated(type: string): type is FederatedType {
  return FEDERATED.includes(type);
}

/** The types for which `is` holds, as a sentence lists them. */
export function typesOf(is: (type: ReceiptType) => boolean): string {
  return new Intl.ListFormat("en-GB", { type: "disjunction" }).format(RECEIPT_TYPES.filter(is));
}

/** How clients get receipts of a type. */
export function shownAs(type: ReceiptType): ShownAs {
  return RULES[type].shownAs;
}
