/**
 * Reads a part of a stream at the pace of the caller: for replay, export, verify and the inspector.
 *
 * A `StreamReader` delivers messages as fast as they come. A scan asks the broker for more only after the caller has handled
 * what came, so memory stays bounded however long the stream is. The consumer is an ephemeral one that acknowledges nothing.
 * When it is lost (a broker restart) or skips a message, another one goes on where it stopped.
 */
import { AckPolicy, DeliverPolicy, NatsError, nanos } from "nats";
import { TidemarkError } from "../../errors.ts";
import type { Subject } from "../contract/subjects.ts";
import type { Bus } from "./connection.ts";
import { type Delivered, delivered, type StoredMessage } from "./delivered.ts";
import { manager } from "./jetstream.ts";

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
}

/** Called for each message, in order. The scan pauses until a returned promise settles, and fails when it rejects. */
type OnMessage = (message: StoredMessage) => void | Promise<void>;

/** Resolves after the last message is handled. Throws `BUS_UNAVAILABLE`, and whatever `onMessage` throws. */
export async function scanStream(nc: Bus, scan: StreamScan, onMessage: OnMessage): Promise<void> {
  const { stream, until = Number.POSITIVE_INFINITY, signal } = scan;
  let next = scan.from ?? 1;
  for (let fruitless = 0; next <= until && !signal?.aborted; ) {
    const before = next;
    const startedAt = performance.now();
    const part = { ...scan, from: next };
    let cause: unknown;
    const consumer = await consume(nc, part).catch((error) => {
      cause = error;
    });
    if (consumer !== undefined) next = await read(consumer, part, onMessage);
    fruitless = next > before || performance.now() - startedAt > SCAN_STEADY_MS ? 0 : fruitless + 1;
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

/** Reads until the consumer ends or the scan does. Returns the sequence to go on from. Throws only what `onMessage` throws. */
async function read(consumer: Consumer, scan: Part, onMessage: OnMessage): Promise<number> {
  const { stream, until = Number.POSITIVE_INFINITY, signal } = scan;
  const { jsm, name, messages, waiting } = consumer;
  const stop = () => messages.stop();
  signal?.addEventListener("abort", stop, { once: true });
  let next = scan.from;
  let count = 0;
  let handling = false;
  const ends = Number.isFinite(until);
  try {
    // A stream with a maximum age may have dropped the last message. Then the scan ends where nothing is pending any more.
    if (ends && waiting === 0) return until + 1;
    for await (const raw of messages) {
      const message: Delivered = delivered(raw);
      // A message was lost on its way. The next consumer delivers it.
      if (signal?.aborted || message.deliverySequence !== ++count) break;
      if (message.sequence > until) return message.sequence;
      handling = true;
      const handled = onMessage(message);
      if (handled !== undefined) await handled;
      handling = false;
      next = message.sequence + 1;
      if (ends && message.pending === 0) next = until + 1;
      if (next > until) break;
    }
  } catch (error) {
    if (handling || !(error instanceof NatsError)) throw error; // A lost consumer is replaced by the caller.
  } finally {
    signal?.removeEventListener("abort", stop);
    messages.stop();
    await jsm.consumers.delete(stream, name).catch(() => {}); // The broker removes it later.
  }
  return next;
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
  const messages = await consumer.consume({ max_messages: SCAN_MESSAGES_MAX, abort_on_missing_resource: true });
  return { jsm, name, messages, waiting };
}
