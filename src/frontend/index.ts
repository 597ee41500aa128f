/** `tidemark/frontend`: the library of a sync front-end, or of any other reader (docs/frontend.md). */
export type { FullyRead, MembershipAt } from "../bus/contract/fields.ts";
export type { Answer, Asked, Membership, Op } from "../bus/contract/questions.ts";
export { type ErrorCode, TidemarkError } from "../errors.ts";
export type { OrderedEvent } from "../matrix/event.ts";
export type { ReceiptContent, ReceiptData } from "../matrix/receipt.ts";
export {
  type ConnectOptions,
  connect,
  type Frontend,
  type Receipt,
  type RoomEvent,
  type RoomOptions,
} from "./frontend.ts";
export {
  type ClientEvent,
  type ReadMarker,
  type ReadMarkers,
  ReadState,
  type ReceiptsByEvent,
  type Unread,
} from "./read-state.ts";
export type { RoomList, RoomListChange } from "./room-list.ts";
export type { RoomChange, RoomView } from "./room-view.ts";
