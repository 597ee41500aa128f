/** Reads what the federation stream has for one destination, from a sequence on. */
import type { NatsConnection } from "nats";
import { FEDERATION_FETCH_MAX } from "../limits.ts";
import type { ServerName } from "../matrix/ids.ts";
import type { ReceiptEdu } from "../matrix/receipt-edu.ts";
import { decode } from "./codec.ts";
import { StreamReader } from "./stream-reader.ts";
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
  readonly #reader: StreamReader;

  private constructor(reader: StreamReader, empty: boolean) {
    this.#reader = reader;
    this.empty = empty;
  }

  /** Begins; goes on with what is published, across lost connections, until it is closed. */
  static async open(nc: NatsConnection, { destination, from, onEdu }: FederationReaderOptions) {
    const reader = new StreamReader(nc, {
      stream: FEDERATION_STREAM,
      subject: federationSubject(destination),
      from,
      ahead: FEDERATION_FETCH_MAX,
      onMessage: ({ data, seq, info }) => {
        const { edu } = decode(data) as { readonly edu: ReceiptEdu };
        onEdu(edu, seq, info.pending === 0);
      },
    });
    return new FederationReader(reader, (await reader.opened) === 0);
  }

  close(): void {
    this.#reader.close();
  }
}
