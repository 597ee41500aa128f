/** The room of the tests, who is in it, and the base of its log. */
import type { RoomId, ServerName, UserId } from "../../src/matrix/ids.ts";

export const ROOM = "!room:one.example" as RoomId;
export const ALICE = "@alice:one.example" as UserId;
export const BOB = "@bob:one.example" as UserId;

/** Another server, and a user of it. */
export const TWO = "two.example" as ServerName;
export const CARA = "@cara:two.example" as UserId;

/** The base of the log (F1): the first live event has the order after it. */
export const BASE = 1_000;
