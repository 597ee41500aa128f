import { suite } from "uvu";
import * as assert from "uvu/assert";
import { delivered } from "../../../src/bus/client/delivered.ts";

const message = suite("delivered message");

const SUBJECT = "tidemark.user.3.@a:example%2Eorg.receipts";
const SHORT = "$JS.ACK.TIDEMARK_DELTAS_3.consumer.1.4711.12.1795000000123456789.5";
const LONG = "$JS.ACK.domain.account.TIDEMARK_DELTAS_3.consumer.1.4711.12.1795000000123456789.5.random";
const data = new Uint8Array([1]);

for (const [form, reply] of [
  ["short", SHORT],
  ["long", LONG],
] as const) {
  message(`has its numbers from the ${form} form of the acknowledgement subject`, () => {
    const { at, ...rest } = delivered({ subject: SUBJECT, data, headers: undefined, reply });
    assert.equal(rest, {
      subject: SUBJECT,
      sequence: 4_711,
      deliverySequence: 12,
      pending: 5,
      data,
      headers: undefined,
    });
    assert.is(Math.floor(at), 1_795_000_000_123);
  });

  message(`is restored if a server has cut it at the @ of its subject, ${form} form`, () => {
    const whole = `${reply}@${SUBJECT}`;
    const cut = whole.lastIndexOf("@");
    const sent = { data, headers: undefined };
    assert.equal(
      delivered({ ...sent, reply: whole.slice(0, cut), subject: whole.slice(cut + 1) }),
      delivered({ ...sent, reply, subject: SUBJECT }),
    );
  });
}

message("is restored if its subject has several @", () => {
  const subject = "tidemark.user.3.@a@b:example%2Eorg.receipts";
  const whole = `${SHORT}@${subject}`;
  const cut = whole.lastIndexOf("@");
  const found = delivered({ data, headers: undefined, reply: whole.slice(0, cut), subject: whole.slice(cut + 1) });
  assert.is(found.subject, subject);
  assert.is(found.sequence, 4_711);
});

message.run();
