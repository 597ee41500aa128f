/** What is published leaves in few writes; what is asked gets its own reply, or a reason. */
import type { Msg, NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { closeBus, publish } from "../../../src/bus/client/gathered-writes.ts";
import { Replies, type Unanswered } from "../../../src/bus/client/pending-replies.ts";
import { inSubject } from "../../../src/bus/contract/subjects.ts";
import { WRITE_BYTES_MAX, WRITE_PAUSE_MS } from "../../../src/limits.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";

const SUBJECT = inSubject("receipt", "!r:a.org" as RoomId);
/** Why a promise is rejected. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => "not refused",
    (error: Error) => error.message,
  );
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A connection that notes what it is given, and what was given to it in one go. */
class Connection {
  readonly writes: { readonly at: number; readonly payloads: number[] }[] = [];
  readonly replies: string[] = [];
  closed = false;
  refuses = false;
  #open: number[] | undefined;
  #inbox: ((error: Error | null, message: Msg) => void) | undefined;
  #waiting: (() => void) | undefined;

  get nc(): NatsConnection {
    return this as unknown as NatsConnection;
  }

  publish(_subject: string, payload: Uint8Array, options?: { reply?: string }): void {
    if (this.refuses) throw new Error("closed");
    if (options?.reply !== undefined) this.replies.push(options.reply);
    if (this.#open === undefined) {
      const payloads: number[] = [];
      this.#open = payloads;
      queueMicrotask(() => {
        this.#open = undefined;
        this.writes.push({ at: performance.now(), payloads });
        this.#waiting?.();
      });
    }
    this.#open.push(payload[0] ?? 0);
  }

  subscribe(_subject: string, { callback }: { callback: (error: Error | null, message: Msg) => void }) {
    this.#inbox = callback;
    return { unsubscribe: () => {} };
  }

  /** A reply, as the broker delivers it. */
  deliver(subject: string, data: string): void {
    this.#inbox?.(null, { subject, data: Buffer.from(data) } as unknown as Msg);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  async written(count: number): Promise<void> {
    while (this.writes.length < count) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }
}

const outbox = suite("what is published");

outbox("by an idle connection goes at once, all of it in one write, in its order", async () => {
  const connection = new Connection();
  for (const n of [1, 2, 3]) publish(connection.nc, SUBJECT, Uint8Array.of(n));
  assert.equal(connection.writes, []);
  await turn();
  assert.equal(
    connection.writes.map(({ payloads }) => payloads),
    [[1, 2, 3]],
  );
});

outbox("soon after a write is gathered into the next, a pause later", async () => {
  const connection = new Connection();
  const began = performance.now();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  publish(connection.nc, SUBJECT, Uint8Array.of(3));
  await connection.written(2);
  const [, second] = connection.writes;
  assert.equal(second!.payloads, [2, 3]);
  // Timers of Node count in whole milliseconds.
  assert.ok(second!.at - began > WRITE_PAUSE_MS - 1, `${second!.at - began} ms`);
});

outbox("goes at once when it is much, and what follows waits again", async () => {
  const connection = new Connection();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  publish(connection.nc, SUBJECT, Buffer.alloc(WRITE_BYTES_MAX, 3));
  publish(connection.nc, SUBJECT, Uint8Array.of(4));
  await connection.written(3);
  assert.equal(
    connection.writes.map(({ payloads }) => payloads),
    [[1], [2, 3], [4]],
  );
});

outbox("and gathered is sent before the connection is closed", async () => {
  const connection = new Connection();
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  await connection.written(1);
  publish(connection.nc, SUBJECT, Uint8Array.of(2));
  await closeBus(connection.nc);
  assert.ok(connection.closed);
  assert.equal(connection.writes[1]!.payloads, [2]);
});

outbox("and can't be sent is told to who wants to know", async () => {
  const connection = new Connection();
  connection.refuses = true;
  const reasons: unknown[] = [];
  publish(connection.nc, SUBJECT, Uint8Array.of(1));
  publish(connection.nc, SUBJECT, Uint8Array.of(2), { failed: (error) => reasons.push(error) });
  await turn();
  assert.equal(
    reasons.map((reason) => (reason as Error).message),
    ["closed"],
  );
});

outbox.run();

const replies = suite("replies");

class Refusal extends Error {}

function repliesOf(connection: Connection, timeoutMs = 60_000) {
  return new Replies(connection.nc, {
    timeoutMs,
    read: ({ data }) => {
      if (data.length === 0) throw new Refusal("refused");
      return data.toString();
    },
    unanswered: ({ subject, why }: Unanswered) => new Refusal(`${why} ${subject}`),
  });
}

replies(
  "reach who asked, whatever order they come in; a second one, and one that nobody asked for, reach nobody",
  async () => {
    const connection = new Connection();
    const asked = repliesOf(connection);
    const answers = Promise.all([asked.ask(SUBJECT, Uint8Array.of(1)), asked.ask(SUBJECT, Uint8Array.of(2))]);
    await connection.written(1);
    const [first, second] = connection.replies as [string, string];
    connection.deliver(second, "two");
    connection.deliver(second, "again");
    connection.deliver(`${first}x`, "nobody's");
    connection.deliver(first, "one");
    assert.equal(await answers, ["one", "two"]);
    asked.close();
  },
);

replies("that refuse fail who asked alone", async () => {
  const connection = new Connection();
  const asked = repliesOf(connection);
  const refused = refusal(asked.ask(SUBJECT, Uint8Array.of(1)));
  const answered = asked.ask(SUBJECT, Uint8Array.of(2));
  await connection.written(1);
  connection.deliver(connection.replies[0]!, "");
  connection.deliver(connection.replies[1]!, "two");
  assert.is(await refused, "refused");
  assert.is(await answered, "two");
  asked.close();
});

replies("that don't come in time fail who asked, and are too late then", async () => {
  const connection = new Connection();
  const asked = repliesOf(connection, 20);
  const alive = setInterval(() => {}, 1_000); // Deadlines keep no process running.
  assert.is(await refusal(asked.ask(SUBJECT, Uint8Array.of(1))), `timeout ${SUBJECT}`);
  clearInterval(alive);
  connection.deliver(connection.replies[0]!, "late");
  asked.close();
});

replies("are given up by closing, and by a message that can't be sent", async () => {
  const connection = new Connection();
  const asked = repliesOf(connection);
  const given = refusal(asked.ask(SUBJECT, Uint8Array.of(1)));
  asked.close();
  assert.is(await given, `closed ${SUBJECT}`);
  connection.refuses = true;
  assert.is(await refusal(repliesOf(connection).ask(SUBJECT, Uint8Array.of(1))), `not sent ${SUBJECT}`);
});

replies.run();
