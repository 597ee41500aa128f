/**
 * Reads a part of a stream at the pace of the caller: for replay, export, verify and the inspector.
 *
 * A `StreamReader` delivers messages as fast as they come. A scan asks the broker for more only after the caller has handled
 * what came, so memory stays bounded however long the stream is. The consumer is an ephemeral one that acknowledges nothing.
 * When it is lost (a broker restart), skips a message or delivers one out of order, another one goes on where it stopped.
 */
import { AckPolicy, DeliverPolicy, NatsError, nanos } from "nats";
import { TidemarkError } from "../../errors.ts";
import type { Subject } from "../contract/subjects.ts";
import type { Bus } from "./connection.ts";
import { type Delivered, delivered, type StoredMessage } from "./delivered.ts";
import { manager } from "./jetstream.ts";
import { isMisplaced, leaderAgrees, leaderHasNone, type Misplaced, streamEnd } from "./leader-check.ts";

/** Messages that a scan requests ahead of its caller. */
const SCAN_MESSAGES_MAX = 1_024;

/** The broker removes a scan's consumer without requests after this time. */
const SCAN_IDLE_MS = 60_000;

/** Consumers in a row that end early without a message before the scan fails, and the pause after the first of them. */
const SCAN_RETRIES_MAX = 5;
const SCAN_RETRY_MS = 200;

/** A consumer that lasted this long was waiting for new messages: it did not end early. */
const SCAN_STEADY_MS = 5_000;

export interface StreamScan {
  readonly stream: string;
  /** Only messages of this subject. */
  readonly subject?: Subject;
  /** The first sequence. Default: 1. */
  readonly from?: number;
  /** The last sequence. Default: the scan goes on with new messages until `signal` is aborted. */
  readonly until?: number;
  readonly signal?: AbortSignal;
  /**
   * For a stream without holes that is read without `subject`: called when the stream's leader confirms that the expected
   * message is missing. Throws what the scan shall fail with.
   */
  readonly onHole?: (hole: Misplaced) => never;
}

/** Called for each message, in order. The scan pauses until a returned promise settles, and fails when it rejects. */
type OnMessage = (message: StoredMessage) => void | Promise<void>;

/** Resolves after the last message is handled. Throws `BUS_UNAVAILABLE`, and whatever `onMessage` and `onHole` throw. */
export async function scanStream(nc: Bus, scan: StreamScan, onMessage: OnMessage): Promise<void> {
  const { stream, until = Number.POSITIVE_INFINITY, signal, onHole } = scan;
  let next = scan.from ?? 1;
  for (let fruitless = 0; next <= until && !signal?.aborted; ) {
    const before = next;
    const startedAt = performance.now();
    const part = { ...scan, from: next };
    let cause: unknown;
    const noted = (error: unknown) => {
      cause = error;
    };
    const consumer = await consume(nc, part).catch(noted);
    const end: End = consumer === undefined ? { next } : await read(consumer, part, onMessage);
    next = end.next;
    fruitless = next > before || performance.now() - startedAt > SCAN_STEADY_MS ? 0 : fruitless + 1;
    // A leader that can't be asked now is asked about what the next consumer says.
    const { misplaced } = end;
    if (onHole && misplaced && (await leaderAgrees(nc, stream, misplaced).catch(noted))) onHole(misplaced);
    if (end.drained && (await leaderHasNone(nc, { ...part, from: next, until }).catch(noted))) return;
    if (fruitless > SCAN_RETRIES_MAX) {
      const message = `reading ${stream} stopped at ${next}: the broker gives nothing more`;
      throw new TidemarkError("BUS_UNAVAILABLE", message, { cause });
    }
    // The broker may be restarting.
    if (fruitless > 0) await new Promise((resolve) => setTimeout(resolve, SCAN_RETRY_MS * fruitless));
  }
}

type Part = StreamScan & { readonly from: number };
type Consumer = Awaited<ReturnType<typeof consume>>;

/** How far a consumer was read, and why not further. */
interface End {
  /** The sequence to go on from. */
  readonly next: number;
  /** It delivered a message out of order. */
  readonly misplaced?: Misplaced;
  /** It has nothing more to deliver. */
  readonly drained?: boolean;
}

/** Reads until the consumer ends or the scan does. Throws only what `onMessage` throws. */
async function read(consumer: Consumer, scan: Part, onMessage: OnMessage): Promise<End> {
  const { stream, until = Number.POSITIVE_INFINITY, signal, onHole } = scan;
  const { jsm, name, messages, waiting, end } = consumer;
  const stop = () => messages.stop();
  signal?.addEventListener("abort", stop, { once: true });
  let next = scan.from;
  let count = 0;
  let handling = false;
  const ends = Number.isFinite(until);
  try {
    // A stream with a maximum age may have dropped the last message. Then the scan ends where nothing is pending any more.
    if (ends && waiting === 0) return { next, drained: true };
    if (end < next) return { next, misplaced: { expected: next, found: end } };
    for await (const raw of messages) {
      const message: Delivered = delivered(raw);
      // A message was lost on its way. The next consumer delivers it.
      if (signal?.aborted || message.deliverySequence !== ++count) break;
      const place: Misplaced = { expected: next, found: message.sequence };
      if (isMisplaced(place, onHole !== undefined)) return { next, misplaced: place };
      if (message.sequence > until) return { next: message.sequence };
      handling = true;
      const handled = onMessage(message);
      if (handled !== undefined) await handled;
      handling = false;
      next = message.sequence + 1;
      if (next > until) break;
      if (ends && message.pending === 0) return { next, drained: true };
    }
  } catch (error) {
    if (handling || !(error instanceof NatsError)) throw error; // A lost consumer is replaced by the caller.
  } finally {
    signal?.removeEventListener("abort", stop);
    messages.stop();
    await jsm.consumers.delete(stream, name).catch(() => {}); // The broker removes it later.
  }
  return { next };
}

async function consume(nc: Bus, { stream, subject, from }: Part) {
  const jsm = await manager(nc);
  const { name, num_pending: waiting } = await jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(SCAN_IDLE_MS),
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    ...(subject !== undefined && { filter_subject: subject }),
  });
  const consumer = await nc.jetstream().consumers.get(stream, name);
  const end = await streamEnd(nc, stream, { waiting, from });
  const messages = await consumer.consume({ max_messages: SCAN_MESSAGES_MAX, abort_on_missing_resource: true });
  return { jsm, name, messages, waiting, end };
}
