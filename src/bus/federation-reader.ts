/** Reads what the federation stream has for one destination, from a sequence on. */
import { type ConsumerMessages, DeliverPolicy, type NatsConnection } from "nats";
import { FEDERATION_FETCH_MAX } from "../limits.ts";
import type { ServerName } from "../matrix/ids.ts";
import type { ReceiptEdu } from "../matrix/receipt-edu.ts";
import { decode } from "./codec.ts";
import { FEDERATION_STREAM, federationSubject } from "./subjects.ts";

interface FederationReaderOptions {
  readonly destination: ServerName;
  /** The first sequence to read. */
  readonly from: number;
  /** An EDU, its sequence, and whether the stream has nothing more for now. */
  readonly onEdu: (edu: ReceiptEdu, sequence: number, last: boolean) => void;
}

export class FederationReader {
  /** Whether there was nothing to read at first. */
  readonly empty: boolean;
  readonly #messages: ConsumerMessages;

  private constructor(messages: ConsumerMessages, empty: boolean) {
    this.#messages = messages;
    this.empty = empty;
  }

  /** Begins; goes on with what is published, across lost connections, until it is closed. */
  static async open(nc: NatsConnection, { destination, from, onEdu }: FederationReaderOptions) {
    const consumer = await nc.jetstream().consumers.get(FEDERATION_STREAM, {
      filterSubjects: federationSubject(destination),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: from,
    });
    const { num_pending: waiting } = await consumer.info();
    let next = from;
    const messages = await consumer.consume({
      max_messages: FEDERATION_FETCH_MAX,
      callback: ({ data, seq, info }) => {
        if (seq < next) return;
        next = seq + 1;
        const { edu } = decode(data) as { readonly edu: ReceiptEdu };
        onEdu(edu, seq, info.pending === 0);
      },
    });
    return new FederationReader(messages, waiting === 0);
  }

  close(): void {
    this.#messages.stop();
  }
}
