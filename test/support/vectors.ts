/** The test vectors of conformance/, and how what a server says is compared with one (conformance/README.md). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type ServerCheck,
  type ServerStep,
  type ServerVector,
  type ShownReceipt,
  type VectorFile,
  vectorFile,
} from "../../scripts/conformance/vectors.ts";
import type { ReceiptsByEvent } from "../../src/frontend/read-state.ts";

export const VECTORS = join(import.meta.dirname, "../../conformance");

/** Returns the path and the text of every file of vectors. */
export async function vectorTexts(): Promise<(readonly [path: string, text: string])[]> {
  const names = await readdir(VECTORS, { recursive: true });
  const paths = names.filter((name) => /^(?:server|client)\/.*\.json$/.test(name)).sort();
  return Promise.all(paths.map(async (path) => [path, await readFile(join(VECTORS, path), "utf8")] as const));
}

type Half = VectorFile["half"];
type VectorOf<H extends Half> = Extract<VectorFile, { readonly half: H }>["vectors"][number];

/** Returns all vectors of one half. */
export async function vectorsOf<H extends Half>(half: H): Promise<VectorOf<H>[]> {
  const files = (await vectorTexts()).map(([, text]) => vectorFile.parse(JSON.parse(text)));
  return files.flatMap((file) => (file.half === half ? (file.vectors as VectorOf<H>[]) : []));
}

interface Counts {
  readonly total: number;
  readonly main: number;
  readonly threads: Readonly<Record<string, number>>;
}

/** What a server says of a room, after it has all that was sent. */
export interface Answers {
  /** By event. Those without an order are missing, or null. */
  orders(events: readonly string[]): Promise<Readonly<Record<string, number | null>>>;
  /** The content of the `m.receipt` event that a client of the user is shown that begins now. */
  receipts(user: string): Promise<ReceiptsByEvent>;
  fullyRead(user: string): Promise<string | undefined>;
  read(user: string, events: readonly string[]): Promise<Readonly<Record<string, boolean | null>>>;
  unread(user: string): Promise<Counts>;
  threads(events: readonly string[]): Promise<Readonly<Record<string, string | null>>>;
}

/** The users whom a vector names, and who therefore are asked what they are shown. */
export function usersIn({ joined, steps }: ServerVector): string[] {
  const users = new Set(joined);
  for (const step of steps) {
    if ("receipt" in step) users.add(step.receipt.user_id);
    for (const event of eventsIn(step)) users.add(event.sender);
  }
  return [...users];
}

/** The events of a step that get an order. */
export function eventsIn(step: ServerStep) {
  return "event" in step ? [step.event] : [];
}

/** The member events that say who is joined before the first step. */
export function joinsOf({ joined }: ServerVector) {
  return joined.map((user) => ({
    event_id: `$joined-${user}`,
    type: "m.room.member",
    sender: user,
    state_key: user,
    origin_server_ts: 1_750_000_000_000,
    content: { membership: "join" },
  }));
}

/** Compares what a server says with what a vector expects, step by step. */
export class Comparison {
  /** What was wrong, a line each. */
  readonly faults: string[] = [];
  readonly #vector: ServerVector;
  readonly #users: readonly string[];
  readonly #orders = new Map<string, number>();
  #step = 0;

  constructor(vector: ServerVector) {
    this.#vector = vector;
    this.#users = usersIn(vector);
  }

  /** Call it after each step, in their order. */
  async compare(step: ServerStep, answers: Answers): Promise<void> {
    this.#step++;
    const ids = eventsIn(step).map(({ event_id: id }) => id);
    const orders = await answers.orders([...this.#orders.keys(), ...ids]);
    for (const id of ids) {
      const order = orders[id] ?? undefined;
      if (order === undefined) this.#fault(`${id} has no order`);
      else if (!this.#orders.has(id)) this.#orders.set(id, order);
    }
    for (const [id, order] of this.#orders) this.#same(`the order of ${id} stays`, orders[id], order);
    if (step.expect !== undefined) await this.#check(step.expect, answers);
  }

  async #check(expected: ServerCheck, answers: Answers): Promise<void> {
    await this.#checkOrders(expected.orders ?? {}, answers);
    if (expected.receipts !== undefined) {
      for (const user of this.#users) {
        const shown = expected.receipts.filter((receipt) => isFor(user, receipt));
        this.#checkReceipts(user, shown, await answers.receipts(user));
      }
    }
    if (expected.fully_read !== undefined) {
      for (const user of this.#users) {
        this.#same(`m.fully_read of ${user}`, await answers.fullyRead(user), expected.fully_read[user]);
      }
    }
    for (const [user, events] of Object.entries(expected.read ?? {})) {
      this.#same(`read by ${user}`, await answers.read(user, Object.keys(events)), events);
    }
    for (const [user, counts] of Object.entries(expected.unread ?? {})) {
      this.#same(`unread of ${user}`, await answers.unread(user), counts);
    }
    const { threads = {} } = expected;
    if (expected.threads !== undefined) this.#same("threads", await answers.threads(Object.keys(threads)), threads);
  }

  async #checkOrders(expected: NonNullable<ServerCheck["orders"]>, answers: Answers): Promise<void> {
    const { not_descending, ascending, consecutive, positive = [], negative = [], none = [] } = expected;
    const said = await answers.orders(Object.values(expected).flatMap((ids = []) => ids));
    const related = (ids: readonly string[], what: string, holds: (before: number, after: number) => boolean) => {
      const orders = ids.map((id) => said[id] ?? Number.NaN);
      const isRight = orders.every((order, i) => !Number.isNaN(order) && (i === 0 || holds(orders[i - 1]!, order)));
      if (!isRight) this.#fault(`${ids.join(", ")} are ${what}: ${orders.join(", ")}`);
    };
    if (not_descending !== undefined) related(not_descending, "not descending", (a, b) => a <= b);
    if (ascending !== undefined) related(ascending, "ascending", (a, b) => a < b);
    if (consecutive !== undefined) related(consecutive, "consecutive", (a, b) => a + 1 === b);
    for (const id of positive) this.#same(`${id} is positive`, (said[id] ?? 0) > 0, true);
    for (const id of negative) this.#same(`${id} is negative`, (said[id] ?? 0) < 0, true);
    for (const id of none) this.#same(`the order of ${id}`, said[id] ?? undefined, undefined);
  }

  #checkReceipts(user: string, expected: readonly ShownReceipt[], content: ReceiptsByEvent): void {
    const shown = new Map(receiptsIn(content).map((receipt) => [placeOf(receipt), receipt]));
    for (const receipt of expected) {
      const place = placeOf(receipt);
      const found = shown.get(place);
      shown.delete(place);
      if (found === undefined) {
        this.#fault(`${user} is not shown ${place}`);
        continue;
      }
      const order = receipt.order === 0 ? 0 : this.#orders.get(receipt.event_id);
      this.#same(`the order of ${place}, shown to ${user}`, found.order, order);
      if (receipt.ts !== undefined) this.#same(`the ts of ${place}, shown to ${user}`, found.ts, receipt.ts);
    }
    for (const place of shown.keys()) this.#fault(`${user} is shown ${place}`);
  }

  #same(what: string, found: unknown, expected: unknown): void {
    const [a, b] = [found, expected].map((value) => JSON.stringify(value, byKey));
    if (a !== b) this.#fault(`${what}: ${a}, not ${b}`);
  }

  #fault(what: string): void {
    this.faults.push(`${this.#vector.name}, step ${this.#step}: ${what}`);
  }
}

export interface FoundReceipt {
  readonly event_id: string;
  readonly receipt_type: string;
  readonly user_id: string;
  readonly thread_id?: string | undefined;
  readonly order: number | undefined;
  readonly ts: number | undefined;
}

/** Returns the receipts in the content of an `m.receipt` event. */
export function receiptsIn(content: ReceiptsByEvent): FoundReceipt[] {
  return Object.entries(content).flatMap(([event_id, types]) =>
    Object.entries(types).flatMap(([receipt_type, users = {}]) =>
      Object.entries(users).map(([user_id, { thread_id, order, ts }]) => {
        return { event_id, receipt_type, user_id, thread_id, order, ts };
      }),
    ),
  );
}

/** The event, type, user and thread of a receipt. */
export function placeOf(receipt: Pick<FoundReceipt, "event_id" | "receipt_type" | "user_id" | "thread_id">): string {
  const { event_id: event, receipt_type: type, user_id: user, thread_id: thread = "no thread" } = receipt;
  return `${type} of ${user} on ${event} for ${thread}`;
}

function isFor(user: string, receipt: ShownReceipt): boolean {
  return receipt.receipt_type === "m.read" || receipt.user_id === user;
}

/** A replacer that writes the keys of an object in one sequence. */
function byKey(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
