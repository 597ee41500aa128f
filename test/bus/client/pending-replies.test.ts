/** Each request gets its own reply or an error. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PendingReplies, type Unanswered } from "../../../src/bus/client/pending-replies.ts";
import { inSubject } from "../../../src/bus/contract/subjects.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { FakeConnection } from "../../support/fake-connection.ts";

const SUBJECT = inSubject.receipt("!r:a.org" as RoomId);
/** The message with which a promise is rejected. */
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => "not refused",
    (error: Error) => error.message,
  );

const replies = suite("replies");

class Refusal extends Error {}

function repliesOf(connection: FakeConnection, timeoutMs = 60_000) {
  return new PendingReplies(connection.nc, {
    timeoutMs,
    read: ({ data }) => {
      if (data.length === 0) throw new Refusal("refused");
      return data.toString();
    },
    unanswered: ({ subject, why }: Unanswered) => new Refusal(`${why} ${subject}`),
  });
}

replies("reach their requests in any order, and repeated or unexpected ones are ignored", async () => {
  const connection = new FakeConnection();
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
});

replies("that are refusals fail only their own request", async () => {
  const connection = new FakeConnection();
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

replies("that are late are ignored, and their request has failed", async () => {
  const connection = new FakeConnection();
  const asked = repliesOf(connection, 20);
  const alive = setInterval(() => {}, 1_000); // Timeouts do not keep the process running.
  assert.is(await refusal(asked.ask(SUBJECT, Uint8Array.of(1))), `timeout ${SUBJECT}`);
  clearInterval(alive);
  connection.deliver(connection.replies[0]!, "late");
  asked.close();
});

replies("are no longer awaited after closing, or if the request can't be sent", async () => {
  const connection = new FakeConnection();
  const asked = repliesOf(connection);
  const given = refusal(asked.ask(SUBJECT, Uint8Array.of(1)));
  asked.close();
  assert.is(await given, `closed ${SUBJECT}`);
  connection.refuses = true;
  assert.is(await refusal(repliesOf(connection).ask(SUBJECT, Uint8Array.of(1))), `not sent ${SUBJECT}`);
});

replies.run();
