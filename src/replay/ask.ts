/** Questions to a room's live owner (docs/design.md#queries). */
import type { Bus } from "../bus/client/connection.ts";
import { request } from "../bus/client/request.ts";
import { querySubject } from "../bus/contract/subjects.ts";
import type { RoomId } from "../matrix/ids.ts";

/** The answer. Throws when nobody answers, or the answer is a refusal. */
export function askRoom(nc: Bus, room: RoomId, query: object): Promise<Record<string, unknown>> {
  return request(nc, querySubject(room), query);
}
