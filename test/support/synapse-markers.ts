/** The markers and counts of a live Synapse, from its tables and its `/sync`, and those of Tidemark. */
import { randomUUID } from "node:crypto";
import { named, Placement } from "../../examples/demo/comparison.ts";
import { eachAtOnce } from "../../src/at-once.ts";
import type { EventId, RoomId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { FULLY_READ, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Body, BusHarness } from "./harness.ts";
import { type Account, type LiveSynapse, matrix } from "./live-synapse.ts";

const SNAPSHOTS_AT_ONCE = 8;
const enc = encodeURIComponent;
/** Unread events by thread, `main` among them; a thread without any is left out. */
type Counts = Record<string, number>;

async function placementOfSynapse(synapse: LiveSynapse): Promise<Placement> {
  const placement = new Placement();
  const receipts = await synapse.rows(
    "SELECT room_id, receipt_type, user_id, thread_id, event_id FROM receipts_linearized",
  );
  for (const { room_id: room, receipt_type: type, user_id: user, thread_id: thread, event_id: event } of receipts) {
    placement.add({
      room: room as RoomId,
      user: user as UserId,
      type: type as ReceiptType,
      thread: thread as ThreadId | null,
      event: event as EventId,
    });
  }
  const read = await synapse.rows(
    `SELECT room_id, user_id, content FROM room_account_data WHERE account_data_type = '${FULLY_READ}'`,
  );
  for (const { room_id: room, user_id: user, content } of read) {
    const event = JSON.parse(content).event_id as EventId;
    placement.add({ room: room as RoomId, user: user as UserId, type: FULLY_READ, thread: null, event });
  }
  return placement;
}

async function placementOfTidemark(bus: BusHarness, rooms: readonly string[], users: readonly string[]) {
  const placement = new Placement();
  const asked = rooms.flatMap((room) => users.map((user) => ({ room, user })));
  await eachAtOnce(asked, SNAPSHOTS_AT_ONCE, async ({ room, user }) => {
    const answer = await bus.query(room, { op: "snapshot", user_id: user, timeline_limit: 0, members: false });
    placement.addSnapshot(room as RoomId, user as UserId, answer);
  });
  return placement;
}

/**
 * What differs between the markers of Synapse's tables and those of Tidemark. Where a user has read the same event with a thread and
 * without, `/sync` shows the second receipt alone, which covers the first (MSC4102): that Tidemark lacks the first is no difference.
 */
export async function markerDifferences(
  { synapse, bus }: { readonly synapse: LiveSynapse; readonly bus: BusHarness },
  rooms: readonly string[],
  users: readonly string[],
): Promise<string[]> {
  const [wanted, found] = [await placementOfSynapse(synapse), await placementOfTidemark(bus, rooms, users)];
  const differences = [...found.differences];
  for (const marker of wanted) {
    const { room, user, type, event } = marker;
    const events = [marker, { type, thread: null }].map((like) => found.get(room, user, like)?.event);
    if (!events.includes(event)) differences.push(`${named(marker)}: ${event} in Synapse, ${events[0]} in Tidemark`);
  }
  for (const marker of found) {
    if (wanted.get(marker.room, marker.user, marker) === undefined)
      differences.push(`${named(marker)}: nothing in Synapse, ${marker.event} in Tidemark`);
  }
  return differences;
}

/** The unread counts of Synapse's own `/sync`. */
export async function countsOfSynapse({ url }: LiveSynapse, { token }: Account, room: string): Promise<Counts> {
  // Another filter each time: Synapse keeps answers for two minutes, by its text among others.
  const timeline = { limit: 1, unread_thread_notifications: true, not_types: [randomUUID()] };
  const filter = enc(JSON.stringify({ room: { timeline } }));
  const path = `/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter=${filter}`;
  const { rooms }: Body = await matrix(url, token, "GET", path);
  const { unread_notifications: main, unread_thread_notifications: threads = {} } = rooms.join[room];
  const all = [["main", main], ...Object.entries<Body>(threads)] as const;
  return present(all.map(([thread, { notification_count: count }]) => [thread, count]));
}

/**
 * The unread messages of somebody who only reads, from Synapse's tables: those after every receipt of theirs that covers the thread.
 * Synapse's own counts lag behind these: it sums them up from time to time, and what a receipt covers may still be in such a sum.
 */
export async function countsOfTables(synapse: LiveSynapse, { user }: Account, room: string): Promise<Counts> {
  const rows = await synapse.rows(`
    SELECT thread, COUNT(*) AS count FROM (
      SELECT COALESCE(relates_to_id, 'main') AS thread, stream_ordering AS at
      FROM events LEFT JOIN event_relations USING (event_id)
      WHERE room_id = '${room}' AND type = 'm.room.message'
    ) WHERE at > (
      SELECT COALESCE(MAX(event_stream_ordering), 0) FROM receipts_linearized
      WHERE room_id = '${room}' AND user_id = '${user}' AND (thread_id IS NULL OR thread_id = thread)
    ) GROUP BY thread`);
  return present(rows.map(({ thread, count }) => [thread, count]));
}

export async function countsOfTidemark(bus: BusHarness, { user }: Account, room: string): Promise<Counts> {
  const { main, threads } = await bus.query(room, { op: "unread", user_id: user });
  return present([
    ["main", main.count],
    ...Object.entries<Body>(threads).map(([root, { count }]) => [root, count] as const),
  ]);
}

function present(counts: readonly (readonly [string, number])[]): Counts {
  return Object.fromEntries(counts.filter(([, count]) => count > 0).sort());
}
