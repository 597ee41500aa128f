/**
 * The streams of a broker, and the messages that they have stored.
 *
 * This is the only file that knows what "not found" looks like. Each function returns undefined for a stream or message that
 * doesn't exist, and for a write that another writer has overtaken. Every other failure is thrown as a `TidemarkError`, whose
 * `cause` is the client library's error. Every function fails with `BUS_UNAVAILABLE` when the broker can't be reached, lacks
 * JetStream, or refuses.
 */
import {
  DiscardPolicy,
  type JetStreamManager,
  type MsgRequest,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import { TidemarkError } from "../../errors.ts";
import { ACK_TIMEOUT_MS } from "../../limits.ts";
import { type Bus, type Headers, hasNoResponders, isNotFound, isWrongLastSequence, translate } from "./connection.ts";
import type { StoredMessage } from "./delivered.ts";

/** Why nobody answers a message that a stream should store, as far as a client of the broker can know. */
export const NOBODY_STORES = "no stream takes it (it is gone, or most of its servers are away or have a full disk)";

/** Streams that are made at the same time. A cluster elects a leader for each, which takes about half a second. */
export const STREAMS_AT_ONCE = 4;

/**
 * JetStream's management API, of this connection's account or, with its prefix, of another one.
 * Without `checkAPI: false` it would ask for the account first, which not every user may.
 */
export function manager(nc: Bus, apiPrefix?: string): Promise<JetStreamManager> {
  return nc.jetstreamManager({ checkAPI: false, ...(apiPrefix !== undefined && { apiPrefix }) });
}

interface StreamState {
  /** The oldest sequence that the stream still has; one more than `last` when it is empty. */
  readonly first: number;
  /** The newest sequence that it ever had; 0 when it never had one. */
  readonly last: number;
  readonly messages: number;
  /** When the stream was made, as the broker writes it: tells a stream from an earlier one of the same name. */
  readonly created: string;
}

export async function streamState(nc: Bus, stream: string): Promise<StreamState | undefined> {
  const info = await found(nc, `read the state of ${stream}`, (jsm) => jsm.streams.info(stream));
  if (info === undefined) return undefined;
  const { state, created } = info;
  return { first: state.first_seq, last: state.last_seq, messages: state.messages, created };
}

/** The same for a stream that a worker makes. Throws `BUS_UNAVAILABLE` when it doesn't exist. */
export async function existingStream(nc: Bus, stream: string): Promise<StreamState> {
  const state = await streamState(nc, stream);
  if (state !== undefined) return state;
  throw new TidemarkError("BUS_UNAVAILABLE", `there is no stream ${stream} on this broker: start a worker first`);
}

/** How many messages the stream has of each subject that matches `filter`. `api`: as for `manager`. */
export async function messagesBySubject(
  nc: Bus,
  stream: string,
  filter: string,
  api?: string,
): Promise<ReadonlyMap<string, number> | undefined> {
  const info = await found(
    nc,
    `list the subjects of ${stream}`,
    (jsm) => jsm.streams.info(stream, { subjects_filter: filter }),
    api,
  );
  return info && new Map(Object.entries(info.state.subjects ?? {}));
}

export function messageAt(nc: Bus, stream: string, sequence: number): Promise<StoredMessage | undefined> {
  return storedMessage(nc, stream, { seq: sequence });
}

/** The newest message of a subject. `api`: as for `manager`. */
export function newestMessage(
  nc: Bus,
  stream: string,
  subject: string,
  api?: string,
): Promise<StoredMessage | undefined> {
  return storedMessage(nc, stream, { last_by_subj: subject }, api);
}

/** The first message of a subject from a sequence on. */
export function nextMessage(
  nc: Bus,
  stream: string,
  { subject, from }: { readonly subject: string; readonly from: number },
): Promise<StoredMessage | undefined> {
  // The type allows this for direct requests only; the server answers it either way.
  return storedMessage(nc, stream, { seq: from, next_by_subj: subject } as unknown as MsgRequest);
}

async function storedMessage(
  nc: Bus,
  stream: string,
  request: MsgRequest,
  api?: string,
): Promise<StoredMessage | undefined> {
  const read = (jsm: JetStreamManager) => jsm.streams.getMessage(stream, request);
  const message = await found(nc, `read a message of ${stream}`, read, api);
  if (message === undefined) return undefined;
  const { subject, seq: sequence, time, data, header: headers } = message;
  return { subject, sequence, at: time.getTime(), data, headers };
}

type Ask<T> = (jsm: JetStreamManager) => Promise<T>;

/** `api`: as for `manager`. */
export async function asked<T>(nc: Bus, doing: string, ask: Ask<T>, api?: string): Promise<T> {
  try {
    return await ask(await manager(nc, api));
  } catch (error) {
    throw translate(error, doing);
  }
}

/** The same; undefined for a stream or message that doesn't exist. */
export async function found<T>(nc: Bus, doing: string, ask: Ask<T>, api?: string): Promise<T | undefined> {
  try {
    return await asked(nc, doing, ask, api);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

interface AppendOptions {
  readonly headers?: Headers;
  /** The message is stored only when this is the newest sequence, of the whole stream or of the subject (0: none yet). */
  readonly after?: { readonly sequence: number } | { readonly subjectSequence: number };
}

/** Stores a message. Returns its sequence; undefined when `after` no longer holds. */
export async function append(
  nc: Bus,
  subject: string,
  payload: Uint8Array | string,
  { headers, after }: AppendOptions = {},
): Promise<number | undefined> {
  const expect =
    after === undefined
      ? {}
      : "sequence" in after
        ? { lastSequence: after.sequence }
        : { lastSubjectSequence: after.subjectSequence };
  try {
    const { seq } = await nc.jetstream().publish(subject, payload, {
      timeout: ACK_TIMEOUT_MS,
      expect,
      ...(headers !== undefined && { headers }),
    });
    return seq;
  } catch (error) {
    if (isWrongLastSequence(error)) return undefined;
    const where = subject.split(".", 3).join(".");
    if (!hasNoResponders(error)) throw translate(error, `append to ${where}`);
    throw new TidemarkError("BUS_UNAVAILABLE", `could not append to ${where}: ${NOBODY_STORES}`, { cause: error });
  }
}

export interface StreamSettings {
  readonly name: string;
  readonly subjects: string[];
  /**
   * How long messages are kept, in ms. `forever`: nothing can be deleted, and a full stream refuses new messages instead of
   * dropping old ones.
   */
  readonly keep: number | "forever";
  readonly replicas: number;
  /** How large it may get. Default: as large as the brokers let it. */
  readonly bytesMax?: number | undefined;
  /** The sequence of its first message. Default: 1. Brokers before 2.10 know only the default. */
  readonly first?: number;
}

/**
 * Makes a stream unless it exists. An existing one is not changed: an operator may have given it replicas, limits or a
 * placement of its own. Throws `BUS_MISMATCH` when it lacks what Tidemark's promises need.
 */
export async function ensureStream(nc: Bus, settings: StreamSettings): Promise<void> {
  const { name, replicas } = settings;
  const wanted = configOf(settings);
  const existing = await found(nc, `look for ${name}`, (jsm) => jsm.streams.info(name));
  if (existing === undefined) {
    await asked(nc, `make ${name} with ${replicas} replicas`, (jsm) => jsm.streams.add(wanted));
    return;
  }
  for (const key of ["deny_delete", "deny_purge", "discard", "retention"] as const) {
    if (wanted[key] !== undefined && existing.config[key] !== wanted[key]) {
      throw new TidemarkError(
        "BUS_MISMATCH",
        `stream ${name} has ${key} ${existing.config[key]}, and must have ${wanted[key]}: something else made it`,
      );
    }
  }
}

function configOf({ name, subjects, keep, replicas, bytesMax, first }: StreamSettings): Partial<StreamConfig> {
  return {
    name,
    subjects,
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    allow_direct: true,
    num_replicas: replicas,
    ...(bytesMax !== undefined && { max_bytes: bytesMax }),
    ...(first !== undefined && { first_seq: first }),
    ...(keep === "forever"
      ? { discard: DiscardPolicy.New, deny_delete: true, deny_purge: true }
      : { discard: DiscardPolicy.Old, max_age: nanos(keep) }),
  };
}
