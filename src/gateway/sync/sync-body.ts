/** The body of `GET /sync` responses, from the sections of rooms, which are texts already. */
import type { RoomId } from "../../matrix/ids.ts";
import { passes } from "../filter.ts";
import { defaultRules } from "../push-rules.ts";
import type { Viewer } from "./shown-state.ts";
import { isFull, type Wanted } from "./sync-plan.ts";

const PUSH_RULES = "m.push_rules";

/** Sections of rooms, each rendered as the JSON text of an object member. */
export interface Sections {
  readonly join: string[];
  readonly invite: string[];
  readonly knock: string[];
  readonly leave: string[];
}

export const NOTHING: Sections = { join: [], invite: [], knock: [], leave: [] };

type Requested = Viewer & Pick<Wanted, "since" | "fullState">;

/** Returns the text of a room in one of the sections. */
export function memberOf(room: RoomId, section: string): string {
  return `${JSON.stringify(room)}:${section}`;
}

/** Account data that is no room's: nothing in it ever changes, so it is sent once, and with `full_state`. */
function accountData({ since, fullState, filter, device }: Requested): object[] {
  if (!isFull({ since, fullState }) || !passes(filter.account_data, { type: PUSH_RULES })) return [];
  return [{ type: PUSH_RULES, content: { global: defaultRules(device.user) } }];
}

/** Returns the whole answer as JSON. `next`: its token. */
export function bodyOf(next: string, { join, invite, knock, leave }: Sections, request: Requested): string {
  const rooms = Object.entries({ join, invite, leave, ...(knock.length > 0 && { knock }) });
  const texts = rooms.map(([name, sections]) => `"${name}":{${sections.join(",")}}`);
  return (
    `{"next_batch":"${next}","rooms":{${texts.join(",")}},` +
    `"account_data":{"events":${JSON.stringify(accountData(request))}},"presence":{"events":[]},"to_device":{"events":[]}}`
  );
}
