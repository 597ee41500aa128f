/** A tiny homeserver: sends a message and a receipt every second, and prints the deltas that Tidemark publishes. */
import { setTimeout as delay } from "node:timers/promises";
import { pack, unpack } from "msgpackr";
import { connect } from "nats";

const nc = await connect({ servers: process.argv[2] ?? "nats://127.0.0.1:4222" });
const room = "!loop:example.org";
const token = room.replaceAll(".", "%2E"); // A foreign string in a subject: docs/bus.md.
const send = async (kind: string, body: unknown) => {
  const { data } = await nc.request(`tidemark.in.${kind}.${token}`, pack(body));
  const reply = unpack(data);
  if (!reply.ok) throw new Error(`${reply.errcode}: ${reply.error}`); // After M_UNKNOWN, send it again.
};

nc.subscribe(`tidemark.client.*.${token}.*`, {
  callback: (_, { subject, data }) => {
    const { position, events, event } = unpack(data);
    const what = subject.endsWith(".events") ? events : event.content;
    process.stdout.write(`${position} ${JSON.stringify(what)}\n`);
  },
});

for (;;) {
  const now = Date.now();
  const event_id = `$${now}`;
  const content = { msgtype: "m.text", body: "Tide is coming in" };
  await send("event", {
    event_id,
    type: "m.room.message",
    sender: "@alice:example.org",
    origin_server_ts: now,
    content,
  });
  await send("receipt", { user_id: "@bob:example.org", receipt_type: "m.read", event_id });
  await delay(1_000);
}
