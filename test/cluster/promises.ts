/**
 * For how long a partition may publish nothing because of a fault, and for how long a front-end may read nothing: what
 * docs/operations.md#owners-standbys-and-how-long-things-take promises.
 */

/** What the promise is about. */
interface Promised {
  readonly publishedMs: number;
  readonly readMs: number;
  /** The fault itself keeps the partition from being served, or its reader from reading, while it lasts. */
  readonly whileItLasts?: true;
}

/** A front-end notices only after 10 s that the server of its mirror is gone, and reads up to 45 s late while many streams elect leaders. */
const MIRROR_MS = 45_000;
/** A mirror that was deleted is made again within a minute. */
const MIRROR_MADE_MS = 60_000;
/** "Under 2 s": drained, joined, or with nothing that the owner misses. */
const HAND_OVER_MS = 2_000;
/** "Under 20 s: the lease has to expire." */
const EXPIRY_MS = 20_000;
/** "A few seconds": an election. Its owner's connection moves to another server, too. */
const ELECTION_MS = 10_000;
/** Workers look every 5 s for streams that are gone; whoever publishes goes on trying. */
const MADE_AGAIN_MS = 10_000;

const PROMISES = {
  nothing: { publishedMs: HAND_OVER_MS, readMs: HAND_OVER_MS },
  handOver: { publishedMs: HAND_OVER_MS, readMs: HAND_OVER_MS },
  expiry: { publishedMs: EXPIRY_MS, readMs: EXPIRY_MS },
  election: { publishedMs: ELECTION_MS, readMs: MIRROR_MS },
  /** A server doesn't answer, or can't reach another, but holds its connections: its clients notice nothing. */
  stall: { publishedMs: ELECTION_MS, readMs: MIRROR_MS, whileItLasts: true },
  /** Everything, or everybody who could serve, is away; then a lease may have to expire. */
  outage: { publishedMs: EXPIRY_MS, readMs: MIRROR_MS, whileItLasts: true },
  streamMadeAgain: { publishedMs: MADE_AGAIN_MS, readMs: MADE_AGAIN_MS + MIRROR_MADE_MS },
  mirrorMadeAgain: { publishedMs: HAND_OVER_MS, readMs: MIRROR_MADE_MS },
} as const satisfies Record<string, Promised>;

export type PromiseName = keyof typeof PROMISES;

/** What a slow machine may need beyond the promise. */
const SLACK_MS = 15_000;

export interface Bound {
  readonly publishedMs: number;
  readonly readMs: number;
}

/** What is promised for a fault that lasted so long. */
export function promisedFor(name: PromiseName, faultMs: number): Bound {
  const { publishedMs, readMs, whileItLasts }: Promised = PROMISES[name];
  const moreMs = whileItLasts ? faultMs : 0;
  return { publishedMs: publishedMs + moreMs, readMs: readMs + moreMs };
}

/** When a history fails. `starvedMs`: how long the machine was too busy (`starvation.ts`). */
export function boundOf(name: PromiseName, faultMs: number, starvedMs: number): Bound {
  const { publishedMs, readMs } = promisedFor(name, faultMs);
  const slackMs = SLACK_MS + starvedMs;
  return { publishedMs: publishedMs + slackMs, readMs: readMs + slackMs };
}
