/**
 * The connection to the broker, and the broker's errors, translated by number.
 *
 * Only the files of this folder know the client library, and only a few of them import it (`test/layers.test.ts` lists
 * them). The types below are what everybody else sees of it.
 */
import {
  type Auth,
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
import { parseBrokerUrl, withoutPassword } from "./broker-url.ts";
import { PasswordChoice } from "./passwords.ts";

export type { Msg as BusMessage, Subscription as BusSubscription } from "nats";
export type { Bus, Headers };

export interface ConnectOptions {
  /** `nats://user:password@host:port`, several separated by commas. `tls://` requires TLS. */
  readonly url: string;
  /** Shown by the broker's monitoring. */
  readonly name: string;
  /** A file with the password in place of the URL's, or with two while it is being changed. It is read again for each attempt. */
  readonly passwordFile?: string | undefined;
}

/** Short, so that a lost broker is noticed before leases expire. */
const PING_INTERVAL_MS = 2_000;

/** How long a server may take to accept a connection. One that is paused never does, nor does an address of nobody. */
const CONNECT_MS_MAX = 5_000;

/** The first and the longest pause between two attempts on the same server, less up to a half at random. It doubles each round. */
const RECONNECT_MS_MIN = 250;
const RECONNECT_MS_MAX = 2_000;

const inboxPrefixes = new WeakMap<Bus, string>();

/**
 * Connects. A connection that is lost later is made again, without end, whatever the reason: servers that are gone, replaced by others
 * under the same names, or refuse the password. Throws `BUS_UNAVAILABLE` when no server accepts the first connection.
 */
export async function connectBus(options: ConnectOptions): Promise<Bus> {
  try {
    return await connectFirst(options);
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    const message = `no connection to ${withoutPassword(options.url)}: ${reasonOf(cause)}`;
    throw new TidemarkError("BUS_UNAVAILABLE", message, { cause });
  }
}

async function connectFirst({ url, name, passwordFile }: ConnectOptions): Promise<Bus> {
  const { servers, user, password, encrypted } = parseBrokerUrl(url);
  if (user === undefined && passwordFile !== undefined) {
    throw new TidemarkError("BUS_MISMATCH", "a password needs a user in the broker's URL: nats://user@host:port");
  }
  const passwords = new PasswordChoice(password, passwordFile);
  // Each user has an inbox prefix of its own, so that permissions can keep users away from each other's replies (`nats.conf`).
  const inboxPrefix = user !== undefined && /^[\w-]+$/.test(user) ? `_INBOX_${user}` : undefined;
  let attempts = 0;
  const connectTo = (tried: readonly string[], more: ConnectionOptions = {}) =>
    connect({
      servers: [...tried],
      name,
      authenticator: () => (user === undefined ? undefined : credentials(user, passwords.next())),
      ...(inboxPrefix !== undefined && { inboxPrefix }),
      ...(encrypted && { tls: {} }),
      timeout: CONNECT_MS_MAX,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      reconnectDelayHandler: () => pauseAfter(attempts / servers.length),
      noRandomize: true,
      pingInterval: PING_INTERVAL_MS,
      noAsyncTraces: true,
      ...more,
    });
  const server = await firstToAccept(shuffled(servers), passwords, async (first) => {
    const trial = await connectTo([first], { ignoreClusterUpdates: true });
    await trial.close();
  });
  passwords.taken();
  const nc = await connectTo([server, ...shuffled(servers.filter((other) => other !== server))]);
  passwords.taken();
  if (inboxPrefix !== undefined) inboxPrefixes.set(nc, inboxPrefix);
  void (async () => {
    for await (const { type } of nc.status()) {
      if (type === "reconnecting") attempts++;
      if (type !== "reconnect") continue;
      attempts = 0;
      passwords.taken();
    }
  })();
  return nc;
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
 * Returns the first server that accepts one of the passwords, tried alone. Throws the newest failure. Given all servers at once, the
 * client library forgets those that it can't reach before it is connected, and never ends when a cluster refuses the password: each
 * server that it tries names the others.
 */
async function firstToAccept(
  servers: readonly string[],
  passwords: PasswordChoice,
  attempt: (server: string) => Promise<void>,
): Promise<string> {
  let failure: unknown;
  for (const server of servers) {
    for (const password of passwords.all) {
      passwords.taken(password);
      try {
        await attempt(server);
        return server;
      } catch (error) {
        failure = error;
      }
    }
  }
  throw failure;
}

function credentials(user: string, password: string | undefined): Auth {
  return { user, ...(password !== undefined && { pass: password }) };
}

function pauseAfter(rounds: number): number {
  const pause = Math.min(RECONNECT_MS_MIN * 2 ** Math.floor(rounds), RECONNECT_MS_MAX);
  return pause * (1 - Math.random() / 2);
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => [Math.random(), value] as const)
    .sort(([a], [b]) => a - b)
    .map(([, value]) => value);
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

/** Whether the data of an `error` in the connection's status says that the broker does not let this user in. */
export function isRefusedUser(data: unknown): boolean {
  return data === NatsCode.AuthorizationViolation || data === NatsCode.AuthenticationExpired;
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
