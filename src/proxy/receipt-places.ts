/** Finds the receipts in the content of an `m.receipt`: `{ "<event>": { "<type>": { "<user>": { "ts", … } } } }`. */

import type { Steps } from "../in-slices.ts";
import { ALL_ORDER_NAMES } from "../matrix/order-names.ts";
import { type JsonHandler, walk } from "./json-walk.ts";
import { type EditedObject, ObjectMembers } from "./object-edit.ts";

interface ReceiptPlace {
  readonly eventId: string;
  /** The receipt. */
  readonly object: EditedObject;
}

/** How deep in the content a receipt is. */
const RECEIPT_DEPTH = 4;

export function* receiptPlaces(
  json: Buffer,
  { start, end }: { readonly start: number; readonly end: number },
): Steps<ReceiptPlace[]> {
  const found: ReceiptPlace[] = [];
  let depth = 0;
  let eventId: string | undefined;
  let members: ObjectMembers | undefined;
  const handler: JsonHandler = {
    open: (at, isObject) => {
      depth++;
      if (depth === RECEIPT_DEPTH && isObject) members = new ObjectMembers(start + at + 1, ALL_ORDER_NAMES);
      return isObject && depth <= RECEIPT_DEPTH;
    },
    key: (text, at) => {
      if (depth === 1) eventId = text;
      if (depth === RECEIPT_DEPTH) members?.begin(text, start + at);
    },
    scalar: (_, at) => {
      if (depth === RECEIPT_DEPTH) members?.end(start + at);
    },
    close: (at) => {
      if (depth === RECEIPT_DEPTH) {
        if (members !== undefined && eventId !== undefined) found.push({ eventId, object: members.close() });
        members = undefined;
      }
      depth--;
      if (depth === RECEIPT_DEPTH) members?.end(start + at);
    },
  };
  yield* walk(json.subarray(start, end), handler);
  return found;
}
