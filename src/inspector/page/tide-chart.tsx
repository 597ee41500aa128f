/**
 * The tide chart: orders on the vertical axis, time or positions on the horizontal axis. Events are a staircase. Each
 * user's marker is a line below it, and the gap between them is what the user has not read. Threads have separate lanes
 * below. Held receipts are open circles, which are connected to a filled circle where they were judged.
 */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Axis, Chart } from "../../replay/history/chart.ts";
import type { StateAt } from "../../replay/history/inspect.ts";
import { useAnswer } from "./answer.ts";
import { colourOf } from "./colours.ts";
import { LanePlot } from "./lane-plot.tsx";
import type { Source } from "./page-source.ts";
import type { Seek } from "./scrubber.tsx";
import { UserChoice } from "./user-choice.tsx";
import { number, shortId, shortUser } from "./words.ts";

interface TideChartProps {
  readonly source: Source;
  readonly room: string;
  readonly axis: Axis;
  readonly state: StateAt;
  readonly user: string | null;
  readonly revision: number;
  readonly onSeek: Seek;
  readonly onUser: (user: string | null) => void;
}

interface Window {
  readonly from: number;
  readonly until: number;
}

const ROOM_HEIGHT = 320;
const THREAD_HEIGHT = 72;
const POINTS = 1_200;

export function TideChart({ source, room, axis, state, user, revision, onSeek, onUser }: TideChartProps) {
  const [window, setWindow] = useState<Window | null>(null);
  useEffect(() => setWindow(null), [axis]);
  const { answer: chart, error } = useAnswer(
    source,
    room,
    { op: "chart", x: axis, points: POINTS, ...(window ?? {}), ...(user !== null && { user }) },
    revision,
  );
  const users = useMemo(() => usersIn(chart), [chart]);
  if (chart === undefined) return <p aria-live="polite">{error ?? "Drawing…"}</p>;

  const now = axis === "time" ? state.at : state.position;
  const zoom = (factor: number) => {
    const width = Math.max(1, ((chart.until - chart.from) * factor) / 2);
    const middle = Math.min(Math.max(now, chart.from), chart.until);
    setWindow({ from: Math.round(middle - width), until: Math.round(middle + width) });
  };
  const seek = (x: number) =>
    onSeek(axis === "time" ? { time: Math.round(x) } : { position: Math.max(0, Math.round(x)) });
  return (
    <section class="card chart" aria-label="Tide chart">
      <div class="bar">
        <h3>Tide</h3>
        <div class="buttons">
          <button type="button" onClick={() => zoom(0.5)}>
            Zoom in
          </button>
          <button type="button" disabled={window === null} onClick={() => zoom(2)}>
            Zoom out
          </button>
          <button type="button" disabled={window === null} onClick={() => setWindow(null)}>
            All
          </button>
        </div>
      </div>
      <ul class="legend">
        <li>
          <span class="swatch events" /> events
        </li>
        {users.map((name, index) => (
          <li key={name}>
            <UserChoice name={name} user={user} onUser={onUser} class="plain">
              <span class="swatch" style={{ background: `var(${colourOf(index)})` }} /> {shortUser(name)}
            </UserChoice>
          </li>
        ))}
        <li>
          <span class="swatch held" /> held receipt
        </li>
        {user !== null && <li class="small">dashed: m.read.private, dotted: m.fully_read, shaded: unread</li>}
      </ul>
      {chart.lanes.map((lane, index) => (
        <figure key={lane.thread ?? ""} class="lane">
          <figcaption>
            {lane.thread === null
              ? `Room: all events, unthreaded markers, orders above ${chart.origin}`
              : lane.thread === "main"
                ? "Main timeline"
                : `Thread ${shortId(lane.thread)}`}
          </figcaption>
          <LanePlot
            lane={lane}
            chart={chart}
            held={index === 0 ? chart.held : []}
            height={index === 0 ? ROOM_HEIGHT : THREAD_HEIGHT}
            now={now}
            users={users}
            user={user}
            isLabelled={index === 0 || index === chart.lanes.length - 1}
            onSeek={seek}
          />
        </figure>
      ))}
      {(chart.more.threads > 0 || chart.more.lines > 0) && (
        <p class="small">
          Not drawn: {number(chart.more.threads)} threads, {number(chart.more.lines)} markers.
        </p>
      )}
    </section>
  );
}

function usersIn(chart: Chart | undefined): string[] {
  const users = new Set<string>();
  for (const lane of chart?.lanes ?? []) for (const { user } of lane.markers) users.add(user);
  return [...users].sort();
}
