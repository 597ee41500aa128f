/**
 * The connection to the broker, and the broker's errors, translated by number.
 *
 * Only the files of this folder know the client library, and only a few of them import it (`test/layers.test.ts` lists
 * them). The types below are what everybody else sees of it.
 */
import {
  type NatsConnection as Bus,
  type ConnectionOptions,
  connect,
  createInbox,
  type MsgHdrs as Headers,
  headers,
  ErrorCode as NatsCode,
  NatsError,
} from "nats";
import { reasonOf, TidemarkError } from "../../errors.ts";

export type { Msg as BusMessage, Subscription as BusSubscription } from "nats";
export type { Bus, Headers };

export interface ConnectOptions {
  /** `nats://user:password@host:port`, several separated by commas. `tls://` requires TLS. */
  readonly url: string;
  /** Shown by the broker's monitoring. */
  readonly name: string;
}

/** Short, so that a lost broker is noticed before leases expire. */
const PING_INTERVAL_MS = 2_000;
const RECONNECT_WAIT_MS = 250;

const inboxPrefixes = new WeakMap<Bus, string>();

/** Connects. A connection that is lost later is made again, without end. Throws `BUS_UNAVAILABLE` when the first attempt fails. */
export async function connectBus({ url, name }: ConnectOptions): Promise<Bus> {
  try {
    const options = fromUrl(url);
    const nc = await connect({
      ...options,
      name,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      pingInterval: PING_INTERVAL_MS,
      noAsyncTraces: true,
    });
    if (options.inboxPrefix !== undefined) inboxPrefixes.set(nc, options.inboxPrefix);
    return nc;
  } catch (cause) {
    throw new TidemarkError("BUS_UNAVAILABLE", `no connection to ${withoutPassword(url)}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** Returns a new inbox that this connection's user may subscribe to. */
export function inboxOf(nc: Bus): string {
  return createInbox(inboxPrefixes.get(nc));
}

/** The headers of a message. */
export function headersOf(fields: Readonly<Record<string, string>>): Headers {
  const made = headers();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
}

/**
 * The client library reads no credentials from a URL, so they are parsed here. All servers of a cluster have the same users,
 * so the first credentials are used for all. Each user has an inbox prefix of its own, so that permissions can keep users
 * away from each other's replies (`nats.conf`).
 */
function fromUrl(url: string): ConnectionOptions {
  const servers: string[] = [];
  let credentials: Pick<ConnectionOptions, "user" | "pass" | "inboxPrefix"> = {};
  let encrypted = false;
  for (const part of url.split(",")) {
    const [, scheme = "nats", user, pass, host = ""] = /^(?:(\w+):\/\/)?(?:([^@:/]*)(?::([^@/]*))?@)?(.*)$/.exec(
      part.trim(),
    )!;
    servers.push(host.replace(/\/$/, ""));
    encrypted ||= scheme === "tls";
    if (user !== undefined && credentials.user === undefined) {
      const name = decodeURIComponent(user);
      credentials = {
        user: name,
        ...(pass !== undefined && { pass: decodeURIComponent(pass) }),
        ...(/^[\w-]+$/.test(name) && { inboxPrefix: `_INBOX_${name}` }),
      };
    }
  }
  return { servers, ...credentials, ...(encrypted && { tls: {} }) };
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/g, "//***@");
}

/** JetStream API error codes (`err_code`), from the server's list of errors. */
const API_ERROR = {
  STREAM_NOT_FOUND: 10_059,
  MESSAGE_NOT_FOUND: 10_037,
  /** JetStream has no leader or no majority at the moment. */
  UNAVAILABLE: 10_008,
  /** Fewer servers are up than there are replicas. */
  NO_SUITABLE_PEERS: 10_005,
  WRONG_LAST_SEQUENCE: 10_071,
  /** The same, where another write to the subject is under way: from 2.11 on. */
  WRONG_LAST_SEQUENCE_IN_FLIGHT: 10_164,
  NOT_ENABLED: 10_039,
  NOT_ENABLED_ACCOUNT: 10_076,
};

/** The client library's error: the one itself, or the one that was translated. */
function natsError(error: unknown): NatsError | undefined {
  const original = error instanceof TidemarkError ? error.cause : error;
  return original instanceof NatsError ? original : undefined;
}

/** Whether the stream or message doesn't exist. For `jetstream.ts`, which returns undefined then. */
export function isNotFound(error: unknown): boolean {
  const code = natsError(error)?.api_error?.err_code;
  return code === API_ERROR.STREAM_NOT_FOUND || code === API_ERROR.MESSAGE_NOT_FOUND;
}

/** Whether a retry may succeed: a cluster without a leader for the moment, a lost connection, a timeout. */
export function isTransient(error: unknown): boolean {
  const original = natsError(error);
  if (original === undefined) return false;
  const apiCode = original.api_error?.err_code;
  if (apiCode !== undefined) return apiCode === API_ERROR.UNAVAILABLE || apiCode === API_ERROR.NO_SUITABLE_PEERS;
  return TRANSIENT.has(original.code);
}

const TRANSIENT: ReadonlySet<string> = new Set([
  NatsCode.Timeout,
  NatsCode.NoResponders,
  NatsCode.Disconnect,
  NatsCode.ConnectionRefused,
  NatsCode.JetStream408RequestTimeout,
]);

/** Whether nobody serves the subject of the request. */
export function hasNoResponders(error: unknown): boolean {
  return natsError(error)?.code === NatsCode.NoResponders;
}

/** Whether this connection's user lacks the permission. */
export function isForbidden(error: unknown): boolean {
  return natsError(error)?.code === NatsCode.PermissionsViolation;
}

/** Whether another writer came first: a lost compare-and-set. For `jetstream.ts`, which returns undefined then. */
export function isWrongLastSequence(error: unknown): boolean {
  const code = natsError(error)?.api_error?.err_code;
  return code === API_ERROR.WRONG_LAST_SEQUENCE || code === API_ERROR.WRONG_LAST_SEQUENCE_IN_FLIGHT;
}

/** The client library's error as a `TidemarkError`. `doing` completes "could not …". */
export function translate(error: unknown, doing: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const apiCode = error instanceof NatsError ? error.api_error?.err_code : undefined;
  const code = error instanceof NatsError ? error.code : undefined;
  if (
    apiCode === API_ERROR.NOT_ENABLED ||
    apiCode === API_ERROR.NOT_ENABLED_ACCOUNT ||
    code === NatsCode.JetStreamNotEnabled ||
    (code === NatsCode.NoResponders && apiCode === undefined)
  ) {
    return new TidemarkError("BUS_UNAVAILABLE", `could not ${doing}: the broker has no JetStream (start it with -js)`, {
      cause: error,
    });
  }
  return new TidemarkError("BUS_UNAVAILABLE", `could not ${doing}: ${reasonOf(error)}`, { cause: error });
}
