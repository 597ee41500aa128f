/** A sync front-end in fifteen lines: every user's marker in every room, as it moves. */
import { unpack } from "msgpackr";
import { connect } from "nats";

const nc = await connect({ servers: process.argv[2] ?? "nats://127.0.0.1:4222" });
const markers = new Map<string, number>(); // room, user, type, thread → order

for await (const { data } of nc.subscribe("tidemark.client.*.*.receipts")) {
  const { room_id, event } = unpack(data);
  for (const [eventId, types] of Object.entries<Record<string, object>>(event.content)) {
    for (const [type, users] of Object.entries(types)) {
      for (const [user, { order, thread_id }] of Object.entries<{ order: number; thread_id?: string }>({ ...users })) {
        const key = [room_id, user, type, thread_id].join(" ");
        if (order < (markers.get(key) ?? 0)) continue; // an old delta: nothing changes
        markers.set(key, order);
        process.stdout.write(`${user} has read ${room_id} up to ${eventId}, order ${order}\n`);
      }
    }
  }
}
