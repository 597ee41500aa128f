/**
 * Mirrors: copies of a stream in another account, which the broker keeps up to date, with the same name and the same sequences.
 * Nobody can publish to a mirror.
 *
 * A mirror never notices that its stream was made again. It keeps the old messages, reports no lag, and goes on only when the new
 * stream is longer than the old one was. So each mirror says, in its metadata, when the stream was made that it is a copy of,
 * and `ensureMirror` makes it again when it is a copy of another, or has more than there is: the stream lost its end.
 */
import { type Bus, hasNoResponders } from "./connection.ts";
import { asked, found, type manager } from "./jetstream.ts";

type Manager = Awaited<ReturnType<typeof manager>>;
type StreamInfo = Awaited<ReturnType<Manager["streams"]["info"]>>;

const ORIGIN_CREATED = "tidemark-origin-created";

/** An account whose JetStream API this connection's account imports (`nats.conf`). */
export interface OtherAccount {
  /** The prefix of its API here. */
  readonly api: string;
  /** The prefix of this account's API there. */
  readonly originApi: string;
  /** What begins the subjects on which this account delivers to mirrors there. */
  readonly deliver: string;
}

/** Whether the broker has such an account. Throws `BUS_UNAVAILABLE`. */
export async function isImported(nc: Bus, { api }: OtherAccount): Promise<boolean> {
  try {
    await asked(nc, `look for the account of ${api}`, (jsm) => jsm.getAccountInfo(), api);
    return true;
  } catch (error) {
    if (hasNoResponders(error)) return false;
    throw error;
  }
}

/**
 * Makes a mirror of one of this account's streams, with its replicas and limits, unless there is a true one.
 * Throws `BUS_UNAVAILABLE`.
 */
export async function ensureMirror(nc: Bus, name: string, { api, originApi, deliver }: OtherAccount): Promise<void> {
  // The mirror first: later, it may have what its stream has got in between.
  const mirror = await found(nc, `look for the mirror of ${name}`, (jsm) => jsm.streams.info(name), api);
  const origin = await asked(nc, `look for ${name}`, (jsm) => jsm.streams.info(name));
  if (mirror !== undefined) {
    if (isCopyOf(origin, mirror)) return;
    await found(nc, `remove the mirror of another ${name}`, (jsm) => jsm.streams.delete(name), api);
  }
  const { num_replicas, max_age, max_msgs_per_subject } = origin.config;
  const config = {
    name,
    mirror: { name, external: { api: originApi, deliver } },
    metadata: { [ORIGIN_CREATED]: origin.created },
    deny_delete: true,
    deny_purge: true,
    num_replicas,
    max_age,
    max_msgs_per_subject,
  };
  await asked(nc, `make the mirror of ${name}`, (jsm) => jsm.streams.add(config), api);
}

function isCopyOf(origin: StreamInfo, mirror: StreamInfo): boolean {
  return mirror.config.metadata?.[ORIGIN_CREATED] === origin.created && mirror.state.last_seq <= origin.state.last_seq;
}
