/** Questions to a room's live owner (DESIGN 4.5). */
import { decode, encode } from "../bus/codec.ts";
import { type Bus, translate } from "../bus/connection.ts";
import { querySubject } from "../bus/subjects.ts";
import { TidemarkError } from "../errors.ts";
import { ASK_LIMIT_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";

/** The answer. Throws when nobody answers, or the answer is a refusal. */
export async function askRoom(nc: Bus, room: RoomId, query: object): Promise<Record<string, unknown>> {
  let answer: Record<string, unknown>;
  try {
    const message = await nc.request(querySubject(room), encode(query), { timeout: ASK_LIMIT_MS });
    answer = decode(message.data) as Record<string, unknown>;
  } catch (error) {
    throw translate(error, `ask the owner of ${room}`);
  }
  if (answer.ok !== true) throw new TidemarkError("M_UNKNOWN", `the owner of ${room} refuses: ${String(answer.error)}`);
  return answer;
}
