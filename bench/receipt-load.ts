/**
 * Sends receipts to Tidemark, and follows each until it is done: its reply has arrived, and so has a delta that shows
 * its marker at its event or a later one.
 *
 * Receipts are sent in messages of `perMessage` users of one room. A *slot* is such a group of users. Slots take turns,
 * so that successive messages are of different rooms. A slot has at most one message in flight.
 */
import { connect, createInbox, type Msg, type NatsConnection } from "nats";
import { decode } from "../src/bus/contract/codec.ts";
import { decodeMessage } from "../src/bus/contract/messages.ts";
import { eventNumber, receiptsPayload, roomNumber, type Size, userNumber } from "./numbered.ts";
import { makeRooms, type Rooms } from "./rooms.ts";

const DONE_LIMIT_MS = 15_000;

export interface ReceiptLoadOptions {
  readonly url: string;
  readonly size: Size;
  /** Receipts per message. The number of users must be a multiple of it. */
  readonly perMessage: number;
  /** Called once per message, after all its receipts are done. */
  readonly onDone: (slot: number) => void;
}

export class ReceiptLoad implements AsyncDisposable {
  readonly slots: number;
  /** The numbers of messages that were sent, and that are done. */
  sent = 0;
  done = 0;
  readonly #nc: NatsConnection;
  readonly #rooms: Rooms;
  readonly #perMessage: number;
  readonly #onDone: (slot: number) => void;
  /** By event, then by group of users: the same in every room. */
  readonly #payloads: readonly (readonly Uint8Array[])[];
  readonly #publishOptions: readonly { readonly reply: string }[];
  readonly #inbox = `${createInbox()}.`;
  /** By slot: what its message still waits for: the reply, and a delta for each receipt. */
  readonly #pending: Uint16Array;
  /** By room and user: the event whose delta has not arrived, or −1. */
  readonly #awaited: Int32Array;
  #failure: Error | undefined;
  #settled: (() => void) | undefined;

  private constructor(nc: NatsConnection, rooms: Rooms, { perMessage, onDone }: ReceiptLoadOptions) {
    const { size } = rooms;
    const groups = size.users / perMessage;
    this.#nc = nc;
    this.#rooms = rooms;
    this.#perMessage = perMessage;
    this.#onDone = onDone;
    this.slots = size.rooms * groups;
    this.#pending = new Uint16Array(this.slots);
    this.#awaited = new Int32Array(size.rooms * size.users).fill(-1);
    this.#payloads = Array.from({ length: size.events }, (_, event) =>
      Array.from({ length: groups }, (_, group) => receiptsPayload(event, group * perMessage, perMessage)),
    );
    this.#publishOptions = Array.from({ length: this.slots }, (_, slot) => ({ reply: this.#inbox + slot }));
    nc.subscribe(`${this.#inbox}*`, { callback: (_, message) => this.#replied(message) });
    nc.subscribe("tidemark.client.*.*.receipts", { callback: (_, message) => this.#shown(message) });
  }

  static async open(options: ReceiptLoadOptions): Promise<ReceiptLoad> {
    const rooms = await makeRooms(options.url, options.size);
    const nc = await connect({ servers: options.url });
    const load = new ReceiptLoad(nc, rooms, options);
    await nc.flush();
    return load;
  }

  get inFlight(): number {
    return this.sent - this.done;
  }

  /**
   * Sends the next message. Returns false, and sends nothing, if its slot has a message in flight or all events are
   * read.
   */
  send(): boolean {
    const slot = this.sent % this.slots;
    const event = Math.floor(this.sent / this.slots);
    const { rooms, events, users } = this.#rooms.size;
    if (event === events || this.#pending[slot] !== 0 || this.#failure !== undefined) return false;
    const room = slot % rooms;
    const group = Math.floor(slot / rooms);
    const first = room * users + group * this.#perMessage;
    this.#awaited.fill(event, first, first + this.#perMessage);
    this.#pending[slot] = 1 + this.#perMessage;
    this.sent++;
    this.#nc.publish(this.#rooms.subjects[room]!, this.#payloads[event]![group], this.#publishOptions[slot]);
    return true;
  }

  /** Resolves when all sent messages are done. Throws if something was refused or lost. */
  async settled(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
      timer = setTimeout(resolve, DONE_LIMIT_MS);
      this.#settle();
    });
    clearTimeout(timer);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.inFlight > 0) throw new Error(`${this.inFlight} of ${this.sent} messages with receipts were not done`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nc.close();
  }

  #replied(message: Msg): void {
    const { ok, error } = decode(message.data) as { ok: boolean; error?: string };
    if (ok) this.#arrived(Number(message.subject.slice(this.#inbox.length)));
    else this.#failure ??= new Error(`a receipt was refused: ${error}`);
  }

  #shown(message: Msg): void {
    const delta = decodeMessage("receipts", message.data);
    if (delta === undefined) return;
    const { rooms, users } = this.#rooms.size;
    const room = roomNumber(delta);
    for (const [event, types] of Object.entries(delta.event.content)) {
      const n = eventNumber(event);
      for (const user of Object.keys(types["m.read"] ?? {})) {
        const number = userNumber(user);
        const awaited = this.#awaited[room * users + number]!;
        if (awaited < 0 || awaited > n) continue;
        this.#awaited[room * users + number] = -1;
        this.#arrived(Math.floor(number / this.#perMessage) * rooms + room);
      }
    }
  }

  #arrived(slot: number): void {
    const pending = this.#pending[slot]! - 1;
    this.#pending[slot] = pending;
    if (pending > 0) return;
    this.done++;
    this.#onDone(slot);
    this.#settle();
  }

  #settle(): void {
    if (this.inFlight === 0 || this.#failure !== undefined) this.#settled?.();
  }
}
