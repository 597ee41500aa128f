/** The types of receipts. Without any package, for `ReadState` in a browser. */

export const READ = "m.read";
export const READ_PRIVATE = "m.read.private";
export const FULLY_READ = "m.fully_read";

export type ReceiptType = typeof READ | typeof READ_PRIVATE | typeof FULLY_READ;

/** Whether nobody but the user may learn of receipts of this type. */
export function isPrivate(type: ReceiptType): boolean {
  return type !== READ;
}
