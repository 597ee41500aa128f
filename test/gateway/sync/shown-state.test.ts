/** State events as texts, against lists of events. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { clientEvent } from "../../../src/gateway/client-event.ts";
import { parseFilter } from "../../../src/gateway/filter.ts";
import { eventsIn, joined, shownPage, withoutEventsOf, withoutKeysOf } from "../../../src/gateway/sync/shown-state.ts";
import type { MatrixEvent } from "../../../src/matrix/event.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { check } from "../../support/property.ts";

const ROOM = "!r:a.org" as RoomId;

/** Ids and state keys that JSON escapes, and some that others contain. */
const names = fc.constantFrom("$1", "$11", '$"', "$\\", "$ü", "");
const events = fc.array(
  fc
    .record(
      {
        event_id: names,
        type: fc.constantFrom("m.room.member", "m.room.name"),
        state_key: names,
        sender: fc.constantFrom("@alice:a.org", "@bob:a.org"),
        content: fc.dictionary(fc.constantFrom("$1", "name"), names, { noNullPrototype: true }),
        unsigned: fc.constantFrom({}, { transaction_id: "1", device_id: "A" }, { replaces_state: "$1" }),
      },
      { noNullPrototype: true },
    )
    .map((event) => event as unknown as MatrixEvent),
  { maxLength: 6 },
);
const textOf = (page: readonly MatrixEvent[]) => page.map((event) => JSON.stringify(event)).join(",");
const keyOf = ({ type, state_key: key }: MatrixEvent) => JSON.stringify([type, key]);

const state = suite("state events as texts");

state("are left out by id, and by type and state key", () => {
  check(
    fc.property(fc.array(events), events, events, (pages, sent, newer) => {
      const ids = new Set(sent.map(({ event_id: id }) => id));
      const keys = new Set(newer.map(keyOf));
      const rest = pages.flat().filter((event) => !ids.has(event.event_id) && !keys.has(keyOf(event)));
      const texts = withoutKeysOf(withoutEventsOf(pages.map(textOf), sent), newer);
      assert.equal(eventsIn(joined(texts)), rest);
    }),
  );
});

state("are shown as the filter and the device say", () => {
  const filters = [{}, { not_types: ["m.room.name"] }, { senders: ["@bob:a.org"] }, { rooms: [] }, { rooms: [ROOM] }];
  check(
    fc.property(events, fc.constantFrom(...filters), (page, filter) => {
      const viewer = { device: { user: "@alice:a.org", id: "A" }, filter: parseFilter({ room: { state: filter } }) };
      const shown = eventsIn(shownPage(textOf(page), ROOM, viewer as never));
      const isWanted = ({ type, sender }: MatrixEvent) =>
        !filter.not_types?.includes(type) && (filter.senders?.includes(sender) ?? true) && filter.rooms?.length !== 0;
      assert.equal(
        shown,
        page.filter(isWanted).map((event) => clientEvent(event, viewer.device as never)),
      );
    }),
  );
});

state.run();
