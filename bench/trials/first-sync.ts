/**
 * What a worker pays for the first `/sync` in a room of 100,000 members, each with a receipt: all pages of its state and of its
 * markers, answered and encoded, from a newly opened store. No body is read from the log.
 */
import { join } from "node:path";
import { STATE } from "../../actors/entry.ts";
import type { Room } from "../../actors/room/room.ts";
import { encodeAs } from "../../src/bus/contract/codec.ts";
import type { Answer, Question } from "../../src/bus/contract/questions.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { answer, UnreadCache } from "../../src/worker/queries/answers.ts";
import { Bodies } from "../../src/worker/queries/bodies.ts";
import { sizeIn } from "../../src/worker/queries/sizes.ts";
import { LONG_AGO, liveEvent, receipt, roomOf, userOf } from "../entries.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial } from "../trial.ts";

const MEMBERS = { full: [10_000, 100_000], quick: [1_000, 10_000] } as const;

export const firstSync: Trial = {
  id: "firstSync",
  measure: async ({ scale, dir }) => {
    const measured: Measured[] = [];
    for (const members of MEMBERS[scale]) measured.push(await withMembers(members, join(dir, String(members))));
    return measured;
  },
};

async function withMembers(members: number, dir: string): Promise<Measured> {
  const id = roomOf(0);
  const written = await openStore(dir);
  const writer = new StoreWriter(written);
  writer.fold(id, liveEvent(0));
  for (let n = 0; n < members; n++) writer.fold(id, [STATE, memberEvent(n)]);
  for (let n = 0; n < members; n++) writer.fold(id, receipt(n, 0));
  writer.commit();
  await written.close();

  const store = await openStore(dir);
  const before = process.cpuUsage();
  const found = await readAll(store.load(id));
  const { user, system } = process.cpuUsage(before);
  await store.close();
  if (found.events < members || found.markers < members) throw new Error("a page is missing");
  return {
    id: `first_sync_${members}`,
    title: `a worker's processor time for the first /sync in a room of ${members.toLocaleString("en")} members`,
    unit: "s",
    values: [(user + system) / 1e6],
  };
}

async function readAll(room: Room) {
  const asking = { room, bodies: new WithoutLog(), counts: new UnreadCache(), sizeOf: sizeIn("msgpack") };
  const found = { events: 0, markers: 0 };
  for (let since: number | undefined = 0; since !== undefined; ) {
    const page: Answer<"state_json"> = await answer("state_json", asking, { op: "state_json", since });
    encodeAs(page, "msgpack");
    found.events += page.events.length;
    since = page.next;
  }
  let question: Question<"snapshot"> | undefined = { op: "snapshot", timeline_limit: 0, members: false };
  while (question !== undefined) {
    const page: Answer<"snapshot"> = await answer("snapshot", asking, question);
    encodeAs(page, "msgpack");
    for (const types of Object.values(page.receipts)) found.markers += Object.keys(types["m.read"] ?? {}).length;
    const { markers_more: since, markers_after: after } = page;
    question =
      since === undefined ? undefined : { ...question, since, ...(after !== undefined && { markers_after: after }) };
  }
  return found;
}

class WithoutLog extends Bodies {
  constructor() {
    super(undefined as never, 0);
  }
}

function memberEvent(n: number): MatrixEvent {
  const user = userOf(n);
  return {
    event_id: `$member${n}` as MatrixEvent["event_id"],
    type: "m.room.member",
    sender: user,
    state_key: user,
    origin_server_ts: LONG_AGO,
    content: { membership: "join", displayname: `Member ${n}`, avatar_url: `mxc://bench.test/${n}` },
  };
}
