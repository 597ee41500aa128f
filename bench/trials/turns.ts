/**
 * The longest turn of the event loop under inputs that strangers choose, or in rooms of extreme size, in ms of processor. While it
 * lasts, nobody else is served. Each value is a round; the least is what the code costs, the rest is the machine.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Entry, LIVE, positionOf } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { Counting } from "../../actors/room/unread.ts";
import { decodePruned, encode } from "../../src/bus/contract/codec.ts";
import { PendingReceipts } from "../../src/federation-sender/pending.ts";
import { readTransaction } from "../../src/homeserver/transaction.ts";
import { eduRecords, RefusedItems } from "../../src/ingress/edu.ts";
import { EVENT_BYTES_MAX, FEDERATION_PENDING_MAX, REQUEST_BYTES_MAX } from "../../src/limits.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId, ServerName } from "../../src/matrix/ids.ts";
import { packEdus } from "../../src/matrix/receipt-edu.ts";
import { serverAcl } from "../../src/matrix/server-acl.ts";
import { liveEvent, receipt, roomOf, userOf } from "../entries.ts";
import { eventId, eventOf } from "../numbered.ts";
import type { Measured, Trial } from "../trial.ts";

const ROUNDS = { full: 5, quick: 2 };
const MEMBERS = 100_000;
const THREADS = 10_000;
const HELD = 10_000;
const EDU_ITEMS = 16_000;
const ACL_CHARS = 65_536;
/** About what a hundred events of the largest size have: homeservers push at most so many at once. */
const TRANSACTION_BYTES = 6_553_600;

/** Made for each round; `run` is what is measured. */
type Prepare = () => { readonly run: () => unknown };

const CASES: Readonly<Record<string, readonly [title: string, prepare: Prepare]>> = {
  members: [`a new display name, then a receipt, in a room of ${count(MEMBERS)} members`, members],
  threads: [`a redaction, a marker that moves, and a count, of ${count(THREADS)} threads × 2 markers`, threads],
  held: [`an event on which ${count(HELD)} receipts are held`, held],
  edu: [`an EDU of ${count(EDU_ITEMS)} items`, edu],
  acl: [`a server ACL of ${count(ACL_CHARS)} characters, and a server`, acl],
  values: [`a request of ${count(REQUEST_BYTES_MAX)} bytes that are all values`, values],
  transaction: [`a transaction of ${count(TRANSACTION_BYTES)} bytes of receipts`, transactionOf(receiptsText)],
  keys: [`a transaction of ${count(TRANSACTION_BYTES)} bytes of events that are all keys`, transactionOf(keysText)],
  brackets: [`one of ${count(TRANSACTION_BYTES)} brackets`, transactionOf(bracketsText)],
  pending: [`a transaction for another server, of ${count(FEDERATION_PENDING_MAX)} receipts that wait`, pending],
};

export const turns: Trial = {
  id: "turns",
  measure: async ({ scale }) => {
    const figures: Measured[] = [];
    for (const [id, [title, prepare]] of Object.entries(CASES)) {
      const values: number[] = [];
      for (let round = -1; round < ROUNDS[scale]; round++) {
        const { run } = prepare();
        const longest = await longestTurn(run);
        if (round >= 0) values.push(longest);
      }
      figures.push({ id: `turns_${id}`, title: `longest turn: ${title}`, unit: "ms", values });
    }
    return figures;
  },
};

/** Runs to the end, and measures each turn of the event loop until then. */
async function longestTurn(run: () => unknown): Promise<number> {
  await nextTurn();
  let longest = 0;
  let before = process.cpuUsage();
  const measure = () => {
    const { user, system } = process.cpuUsage(before);
    longest = Math.max(longest, (user + system) / 1_000);
    before = process.cpuUsage();
  };
  let turn: NodeJS.Immediate;
  const each = () => {
    measure();
    turn = setImmediate(each);
  };
  turn = setImmediate(each);
  await run();
  measure();
  clearImmediate(turn);
  return longest;
}

function count(n: number): string {
  return n.toLocaleString("en");
}

/** A room in memory, and a function that folds entries into it. */
function roomWith(entries: Iterable<Entry>) {
  const room = new Room(roomOf(0), 0);
  let sequence = 0;
  const and = (...more: readonly Entry[]) => {
    for (const entry of more) fold(room, positionOf(++sequence, 0), entry);
  };
  for (const entry of entries) and(entry);
  return { room, and };
}

function member(user: number, name: string): Entry {
  const content = { membership: "join", displayname: name };
  const id = `$member-${user}-${name}`;
  return [LIVE, { ...eventOf(0), event_id: id, type: "m.room.member", state_key: userOf(user), content } as never];
}

function* membersAndEvent(): Generator<Entry> {
  for (let n = 0; n < MEMBERS; n++) yield member(n, "before");
  yield liveEvent(0);
}

const large = roomWithOnce(membersAndEvent);

function members() {
  const { and, round } = large();
  return { run: () => and(member(7, `after ${round}`), receipt(7 + round, 0)) };
}

const inThread = (n: number, root: number): Entry => {
  const content = { body: "…", "m.relates_to": { rel_type: "m.thread", event_id: eventId(root) } };
  return [LIVE, { ...eventOf(n), content } as unknown as MatrixEvent];
};

const inOwnThread = (type: "m.read" | "m.read.private", event: number, root: number): Entry =>
  [2, userOf(0), type, eventId(event), eventId(root), 0, null] as unknown as Entry;

function* manyThreads(): Generator<Entry> {
  for (let n = 0; n < THREADS; n++) {
    yield liveEvent(n);
    yield inThread(THREADS + n, n);
    yield inThread(2 * THREADS + n, n);
    yield inOwnThread("m.read", THREADS + n, n);
    yield inOwnThread("m.read.private", THREADS + n, n);
  }
}

const threaded = roomWithOnce(manyThreads);
let counting: Counting | undefined;

function threads() {
  const { room, and, round } = threaded();
  const counted = () => {
    counting = room.unread.counting(room.readingOf(userOf(0)), counting);
  };
  counted();
  const redacts = eventId(2 * THREADS + round);
  const redaction = { ...eventOf(3 * THREADS + round), type: "m.room.redaction", redacts, content: {} };
  const last = THREADS - 1 - round;
  return {
    run: () => {
      and([LIVE, redaction as unknown as MatrixEvent], inOwnThread("m.read", 2 * THREADS + last, last));
      counted();
    },
  };
}

function held() {
  const { and } = roomWith(Array.from({ length: HELD }, (_, n) => receipt(n, 0)));
  return { run: () => and(liveEvent(0)) };
}

function edu() {
  const users = Object.fromEntries(Array.from({ length: EDU_ITEMS }, (_, n) => [`@${n.toString(36)}`, 0]));
  const bytes = encode({ [roomOf(0)]: { "m.read": users } });
  return {
    run: () => {
      const value = decodePruned(bytes, "msgpack", () => {});
      eduRecords("a.org" as ServerName, { value, bytes: bytes.length, at: 0 }, new RefusedItems());
    },
  };
}

function acl() {
  const pattern = "*a*b*c*d";
  const deny = Array.from({ length: ACL_CHARS / pattern.length }, (_, n) => `${pattern.slice(0, -4)}${n % 10_000}`);
  const name = `${"abc".repeat(60)}.example.org` as ServerName;
  return { run: () => serverAcl({ allow: ["*"], deny })(name) };
}

function values() {
  const bytes = Buffer.from(`[${"0,".repeat(REQUEST_BYTES_MAX / 2 - 1)}0]`);
  return {
    run: () => {
      try {
        decodePruned(bytes, "json", () => {});
      } catch {
        return;
      }
      throw new Error("it was taken");
    },
  };
}

/** Makes the text once: it is large. */
function transactionOf(text: () => string): Prepare {
  let body: Buffer | undefined;
  return () => {
    body ??= Buffer.from(text());
    return {
      run: () => readTransaction(body!, { localServers: new Set(["a.org" as ServerName]), onPruned: () => {} }),
    };
  };
}

/** Receipts of many users, as short as they can be. */
function receiptsText(): string {
  const items: string[] = [];
  let bytes = 0;
  for (let n = 0; bytes < TRANSACTION_BYTES - 1_000; n++) {
    const item = `"@${n.toString(36)}:a.org":{"ts":1}`;
    items.push(item);
    bytes += item.length + 1;
  }
  return `{"ephemeral":[{"type":"m.receipt","room_id":"!r:a","content":{"$e":{"m.read":{${items.join()}}}}}]}`;
}

/** A hundred events of the largest size. */
function keysText(): string {
  let key = 0;
  const events = Array.from({ length: TRANSACTION_BYTES / EVENT_BYTES_MAX }, (_, n) => {
    const members: string[] = [];
    for (let bytes = 0; bytes < EVENT_BYTES_MAX - 1_000; bytes += members.at(-1)!.length + 1) {
      members.push(`"${(key++).toString(36)}":0`);
    }
    return `{"event_id":"$${n}","room_id":"!r:a","sender":"@a:a","type":"t","content":{${members.join()}}}`;
  });
  return `{"events":[${events.join()}]}`;
}

function bracketsText(): string {
  const half = TRANSACTION_BYTES / 2;
  return "[".repeat(half) + "]".repeat(half);
}

function pending() {
  const receipts = Array.from({ length: FEDERATION_PENDING_MAX }, (_, n) => ({
    room: roomOf(n % 100),
    user: userOf(n),
    thread: null,
    event: eventId(n) as EventId,
    ts: n,
  }));
  const waiting = new PendingReceipts();
  for (const [n, { edu }] of packEdus(receipts).entries()) waiting.add(edu, n + 1);
  return { run: () => waiting.load() };
}

/** Makes a room when it is first wanted: it is large. Each call has a number of its own. */
function roomWithOnce(entries: () => Iterable<Entry>) {
  let made: ReturnType<typeof roomWith> | undefined;
  let round = 0;
  return () => {
    made ??= roomWith(entries());
    return { ...made, round: ++round };
  };
}
