/** All trials, in the order of the report. */
import type { Trial } from "../trial.ts";
import { activation } from "./activation.ts";
import { delta } from "./delta.ts";
import { firstSync } from "./first-sync.ts";
import { foldTrial } from "./fold.ts";
import { history } from "./history.ts";
import { httpLargeRoom } from "./http-large-room.ts";
import { httpLoad } from "./http-load.ts";
import { httpPolls } from "./http-polls.ts";
import { httpReceipts } from "./http-receipts.ts";
import { httpReturning } from "./http-returning.ts";
import { httpSync } from "./http-sync.ts";
import { memory } from "./memory.ts";
import { proxy } from "./proxy.ts";
import { proxySynapse } from "./proxy-synapse.ts";
import { replay } from "./replay.ts";
import { restart } from "./restart.ts";
import { roomReplay } from "./room-replay.ts";
import { turns } from "./turns.ts";
import { unread } from "./unread.ts";

export const TRIALS: readonly Trial[] = [
  foldTrial,
  replay,
  roomReplay,
  restart,
  activation,
  memory,
  delta,
  firstSync,
  unread,
  history,
  httpReceipts,
  httpSync,
  httpLargeRoom,
  httpReturning,
  httpPolls,
  httpLoad,
  proxy,
  proxySynapse,
  turns,
];
