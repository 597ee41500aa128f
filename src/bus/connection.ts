/** The connection to the broker, and what its errors mean in Tidemark's words. */
import { connect, ErrorCode as NatsCode, type NatsConnection, NatsError } from "nats";
import { reasonOf, TidemarkError } from "../errors.ts";

/** What the rest of Tidemark sees of the client library. */
export type { Msg as BusMessage, NatsConnection as Bus, Subscription as BusSubscription } from "nats";

export interface ConnectOptions {
  /** `nats://host:port`, several separated by commas; user and password may stand in it. */
  readonly url: string;
  /** Shown by the broker's monitoring. */
  readonly name: string;
}

/** Connects, and reconnects for as long as it takes. Throws `BUS_UNAVAILABLE` when the first attempt fails. */
export async function connectBus({ url, name }: ConnectOptions): Promise<NatsConnection> {
  try {
    return await connect({ servers: url.split(","), name, maxReconnectAttempts: -1, noAsyncTraces: true });
  } catch (cause) {
    throw new TidemarkError("BUS_UNAVAILABLE", `no connection to ${withoutPassword(url)}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/g, "//***@");
}

/** JetStream API error codes (`err_code`), from the server's list of errors. */
const API_ERROR = {
  STREAM_NOT_FOUND: 10_059,
  MESSAGE_NOT_FOUND: 10_037,
  NOT_ENABLED: 10_039,
  NOT_ENABLED_ACCOUNT: 10_076,
};

export function isNotFound(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  const code = error.api_error?.err_code;
  return code === API_ERROR.STREAM_NOT_FOUND || code === API_ERROR.MESSAGE_NOT_FOUND;
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
