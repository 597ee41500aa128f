/** The connection to the broker, and what its errors mean in Tidemark's words. */
import {
  type ConnectionOptions,
  connect,
  createInbox,
  ErrorCode as NatsCode,
  type NatsConnection,
  NatsError,
} from "nats";
import { reasonOf, TidemarkError } from "../../errors.ts";

/** What the rest of Tidemark sees of the client library. */
export type { Msg as BusMessage, NatsConnection as Bus, Subscription as BusSubscription } from "nats";

export interface ConnectOptions {
  /** `nats://user:password@host:port`, several separated by commas; `tls://` insists on TLS. */
  readonly url: string;
  /** Shown by the broker's monitoring. */
  readonly name: string;
}

/** Short: a broker that is gone is found before its owners' leases run out. */
const PING_INTERVAL_MS = 2_000;
const RECONNECT_WAIT_MS = 250;

const inboxPrefixes = new WeakMap<NatsConnection, string>();

/** Connects, and reconnects for as long as it takes. Throws `BUS_UNAVAILABLE` when the first attempt fails. */
export async function connectBus({ url, name }: ConnectOptions): Promise<NatsConnection> {
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

/** A new inbox that this connection's user may subscribe to. */
export function inboxOf(nc: NatsConnection): string {
  return createInbox(inboxPrefixes.get(nc));
}

/**
 * The client reads no credentials from a URL, so they are taken out of it. All servers of a cluster have the same users:
 * the first credentials count. A user has inboxes of its own, so that users can be kept from each other's (`nats.conf`).
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
  /** JetStream can't be reached at the moment: no leader, or no majority. */
  UNAVAILABLE: 10_008,
  /** Not enough servers for the replicas, yet. */
  NO_SUITABLE_PEERS: 10_005,
  WRONG_LAST_SEQUENCE: 10_071,
  NOT_ENABLED: 10_039,
  NOT_ENABLED_ACCOUNT: 10_076,
};

export function isNotFound(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  const code = error.api_error?.err_code;
  return code === API_ERROR.STREAM_NOT_FOUND || code === API_ERROR.MESSAGE_NOT_FOUND;
}

/** Whether it may go by itself: a cluster without a leader for the moment, a lost connection, no answer in time. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  const apiCode = error.api_error?.err_code;
  if (apiCode !== undefined) return apiCode === API_ERROR.UNAVAILABLE || apiCode === API_ERROR.NO_SUITABLE_PEERS;
  return TRANSIENT.has(error.code);
}

const TRANSIENT: ReadonlySet<string> = new Set([
  NatsCode.Timeout,
  NatsCode.NoResponders,
  NatsCode.Disconnect,
  NatsCode.ConnectionRefused,
  NatsCode.JetStream408RequestTimeout,
]);

/** Whether this connection's user may not do that. */
export function isForbidden(error: unknown): boolean {
  return error instanceof NatsError && error.code === NatsCode.PermissionsViolation;
}

/** Whether somebody else wrote in between: a compare-and-set that lost. */
export function isWrongLastSequence(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === API_ERROR.WRONG_LAST_SEQUENCE;
}

/** What the broker refused, as an error of Tidemark's. `doing` completes "could not …". */
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
