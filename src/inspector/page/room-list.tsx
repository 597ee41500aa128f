import { useEffect, useState } from "preact/hooks";
import type { ListedRoom, RoomSummary, Source } from "./page-source.ts";
import { TableHead } from "./table-head.tsx";
import { number, shortUser, timeText } from "./words.ts";

interface RoomListProps {
  readonly source: Source;
  readonly onOpen: (room: string) => void;
}

/** The list of rooms, the busiest first. Their summaries arrive one by one, because each room has to be folded. */
export function RoomList({ source, onOpen }: RoomListProps) {
  const [search, setSearch] = useState("");
  const [listed, setListed] = useState<{ rooms: readonly ListedRoom[]; total: number } | null>(null);
  const [summaries, setSummaries] = useState<ReadonlyMap<string, RoomSummary | null>>(new Map());
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    let current = true;
    const load = async () => {
      const listed = await source.list(search);
      if (!current) return;
      setListed(listed);
      for (const { room } of listed.rooms) {
        const summary = await source.summary(room);
        if (!current) return;
        setSummaries((before) => new Map(before).set(room, summary));
      }
    };
    load().catch((reason) => current && setError(String(reason)));
    return () => {
      current = false;
    };
  }, [source, search]);

  return (
    <section class="card rooms" aria-label="Rooms">
      <div class="bar">
        <h2>Rooms</h2>
        <label>
          Search <input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        </label>
      </div>
      {error !== null && <p role="alert">{error}</p>}
      {listed?.total === 0 && <p>The log has no such room.</p>}
      <div class="scroll">
        <table class="cards">
          <TableHead
            columns={["Room", "Entries", "Events", "Last entry (UTC)", "Lag", "Held", "Most unread", "Least unread"]}
          />
          <tbody>
            {listed?.rooms.map(({ room, records }) => (
              <RoomRow key={room} room={room} records={records} summary={summaries.get(room)} onOpen={onOpen} />
            ))}
          </tbody>
        </table>
      </div>
      {listed !== null && listed.total > listed.rooms.length && (
        <p>
          {number(listed.rooms.length)} of {number(listed.total)} rooms. Search for others.
        </p>
      )}
    </section>
  );
}

interface RoomRowProps extends ListedRoom {
  readonly summary: RoomSummary | null | undefined;
  readonly onOpen: (room: string) => void;
}

function RoomRow({ room, records, summary, onOpen }: RoomRowProps) {
  const figure = (value: (summary: RoomSummary) => string) => (summary == null ? "…" : value(summary));
  const lag = ({ lag }: RoomSummary) =>
    lag === undefined ? "–" : lag === null ? "no answer" : lag === 0 ? "none" : `${number(lag)} entries`;
  const extreme = (of: RoomSummary["most"]) => (of === null ? "–" : `${number(of.unread)} ${shortUser(of.user)}`);
  return (
    <tr>
      <th scope="row">
        <button type="button" class="link" onClick={() => onOpen(room)}>
          {room}
        </button>
      </th>
      <td data-label="Entries">{summary == null ? `${number(records)} records` : number(summary.entries)}</td>
      <td data-label="Events">{figure(({ events }) => number(events))}</td>
      <td data-label="Last entry">{figure(({ at }) => timeText(at).slice(0, 19))}</td>
      <td data-label="Lag">{figure(lag)}</td>
      <td data-label="Held">{figure(({ held }) => number(held))}</td>
      <td data-label="Most unread">{figure(({ most }) => extreme(most))}</td>
      <td data-label="Least unread">{figure(({ least }) => extreme(least))}</td>
    </tr>
  );
}
