/**
 * One room at one point of its log. The scrubber, the chart and the table select the point. Everything shows the state
 * at that point: chart, entries, markers, unread counts, held receipts and the answer to "why".
 */
import { useCallback, useEffect, useState } from "preact/hooks";
import type { InspectRequest } from "../../replay/history/inspect.ts";
import { useAnswer } from "./answer.ts";
import { EntriesTable } from "./entries-table.tsx";
import type { Point } from "./link.ts";
import type { Source } from "./page-source.ts";
import { Scrubber } from "./scrubber.tsx";
import { HeldTable, MarkersTable, UsersTable } from "./state-tables.tsx";
import { TideChart } from "./tide-chart.tsx";
import { WhyPanel } from "./why-panel.tsx";

interface RoomViewProps {
  readonly source: Source;
  readonly room: string;
  readonly point: Point;
  readonly go: (change: Partial<Point>) => void;
}

type StateRequest = Extract<InspectRequest, { op: "state" }>;

export function RoomView({ source, room, point, go }: RoomViewProps) {
  const { position, axis, user } = point;
  const [request, setRequest] = useState<StateRequest>(stateRequest(position));
  const [follows, setFollows] = useState(false);
  const [revision, setRevision] = useState(0);
  const { answer: state, error } = useAnswer(source, room, request, revision);

  // Follows an address that was opened or edited.
  useEffect(() => {
    if (position !== null && position !== state?.position) setRequest(stateRequest(position));
  }, [position]);
  // Writes the point that the scrubber or the chart has selected into the address.
  useEffect(() => {
    if (state !== undefined && !isNewest(request)) go({ position: state.position });
  }, [state?.position, request]);
  useEffect(() => {
    if (!follows || source.follow === undefined) return;
    go({ position: null });
    setRequest({ op: "state" });
    return source.follow(room, () => setRevision((before) => before + 1));
  }, [source, room, follows]);

  const seek = useCallback((target: Omit<StateRequest, "op">) => {
    setFollows(false);
    setRequest({ op: "state", ...target });
  }, []);
  const selectUser = useCallback((user: string | null) => go({ user }), [go]);
  const askWhy = useCallback(
    (event: string, of?: string) => go({ event, ...(of !== undefined && { user: of }) }),
    [go],
  );

  if (error !== undefined && state === undefined) return <p role="alert">{error}</p>;
  if (state === undefined) return <p aria-live="polite">Folding the room…</p>;
  return (
    <div class="room">
      <div class="bar">
        <h2 class="id">{room}</h2>
        {source.follow !== undefined && (
          <label class="check">
            <input type="checkbox" checked={follows} onChange={(event) => setFollows(event.currentTarget.checked)} />
            Follow live
          </label>
        )}
        <fieldset class="axis">
          <legend class="hidden">Horizontal axis</legend>
          {(["time", "position"] as const).map((name) => (
            <label key={name} class="check">
              <input type="radio" name="axis" checked={axis === name} onChange={() => go({ axis: name })} />
              {name}
            </label>
          ))}
        </fieldset>
      </div>
      <Scrubber state={state} requested={request.index} onSeek={seek} />
      <TideChart
        source={source}
        room={room}
        axis={axis}
        state={state}
        user={user}
        revision={revision}
        onSeek={seek}
        onUser={selectUser}
      />
      <div class="columns">
        <EntriesTable source={source} room={room} state={state} revision={revision} onSeek={seek} onWhy={askWhy} />
        <div class="side">
          <WhyPanel source={source} room={room} state={state} point={point} revision={revision} go={go} onSeek={seek} />
          <UsersTable state={state} user={user} onUser={selectUser} onWhy={askWhy} />
          <MarkersTable state={state} user={user} onWhy={askWhy} />
          <HeldTable state={state} onSeek={seek} />
        </div>
      </div>
    </div>
  );
}

function stateRequest(position: number | null): StateRequest {
  return position === null ? { op: "state" } : { op: "state", position };
}

function isNewest({ position, index, time }: StateRequest): boolean {
  return position === undefined && index === undefined && time === undefined;
}
