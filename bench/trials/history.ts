/**
 * Finding the events of a page of history, in a room of a million events of which one in a hundred is a reaction to the
 * first: the newest page, one in the middle, and the newest reactions. The room is stored, and not in memory. For
 * comparison, a scan of all its events, and the cost of folding and storing an event.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { LIVE } from "../../actors/entry.ts";
import { ALL, type OrderIndex, type OrderRange, type Related } from "../../actors/room/order-index.ts";
import type { Room } from "../../actors/room/room.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId } from "../../src/matrix/ids.ts";
import { liveEvent, roomOf } from "../entries.ts";
import { eventId, eventOf } from "../numbered.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial } from "../trial.ts";

const EVENTS = { full: 1_000_000, quick: 100_000 };
const REPETITIONS = { full: 200, quick: 50 };
const WARM_UP = 20;
const REACTION_EVERY = 100;
const PAGE = 100;
const ROOM = roomOf(0);
const FIRST = eventId(0) as EventId;

function reaction(n: number): MatrixEvent {
  const content = { "m.relates_to": { rel_type: "m.annotation", event_id: FIRST, key: "👍" } };
  return { ...eventOf(n), type: "m.reaction", content } as unknown as MatrixEvent;
}

export const history: Trial = {
  id: "history",
  measure: async ({ scale, dir }) => {
    const events = EVENTS[scale];
    const store = await openStore(join(dir, "history"));
    const writer = new StoreWriter(store);
    let middle = 0;
    const started = performance.now();
    for (let n = 0; n < events; n++) {
      if (n === events / 2) middle = n;
      writer.fold(ROOM, n % REACTION_EVERY === REACTION_EVERY - 1 ? [LIVE, reaction(n)] : liveEvent(n));
    }
    writer.commit();
    const storing = ((performance.now() - started) * 1_000) / events;
    await store.close();
    const size = statSync(join(dir, "history", "data.mdb")).size / 2 ** 20;
    const opened = await openStore(join(dir, "history"));
    const figure = (id: string, what: string, of: Related, below: number): Measured => {
      const indexOf = (room: Room): OrderIndex<unknown> => (of === ALL ? room.byOrder : room.relations);
      const range: OrderRange = { dir: "b", above: Number.NEGATIVE_INFINITY, below };
      const values: number[] = [];
      for (let n = -WARM_UP; n < REPETITIONS[scale]; n++) {
        const began = performance.now();
        let found = 0;
        for (const _ of indexOf(opened.load(ROOM)).range(of, range)) if (++found === PAGE) break;
        if (n >= 0) values.push(performance.now() - began);
        if (found !== PAGE) throw new Error(`${found} events, not ${PAGE}`);
      }
      const title = `finding ${PAGE} events in a room of ${events.toLocaleString("en")}: ${what}`;
      return { id: `history_${id}`, title, unit: "ms", values };
    };
    const figures = [
      figure("newest", "the newest", ALL, Number.POSITIVE_INFINITY),
      figure("middle", "in the middle", ALL, middle),
      figure("related", "the newest that relate to one event", FIRST, Number.POSITIVE_INFINITY),
    ];
    const scans = Array.from({ length: 3 }, () => {
      const began = performance.now();
      const { length } = Array.from(opened.load(ROOM).events, ([, { order }]) => order);
      if (length !== events) throw new Error(`${length} events, not ${events}`);
      return performance.now() - began;
    });
    await opened.close();
    const room = `a room of ${events.toLocaleString("en")} events`;
    return [
      ...figures,
      { id: "history_walk", title: `scan of all events of ${room}`, unit: "ms", values: scans },
      { id: "history_made", title: `an event of ${room}, folded and stored`, unit: "µs", values: [storing] },
      { id: "history_size", title: `the store of ${room}`, unit: "MiB", values: [size] },
    ];
  },
};
