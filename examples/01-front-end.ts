/** A sync front-end in fifteen lines: every user's marker in every room, as it moves. */
import { unpack } from "msgpackr";
import { connect } from "nats";

const nc = await connect({ servers: process.argv[2] ?? "nats://127.0.0.1:4222" });
const markers = new Map(); // room, user, type, thread → order

for await (const { data } of nc.subscribe("tidemark.client.*.*.receipts")) {
  const { room_id, event } = unpack(data);
  for (const eventId in event.content) {
    for (const type in event.content[eventId]) {
      for (const user in event.content[eventId][type]) {
        const { order, thread_id } = event.content[eventId][type][user];
        const key = [room_id, user, type, thread_id].join(" ");
        if (order < (markers.get(key) ?? 0)) continue; // an old delta: nothing changes
        markers.set(key, order);
        process.stdout.write(`${user} has read ${room_id} up to ${eventId}, order ${order}\n`);
      }
    }
  }
}
