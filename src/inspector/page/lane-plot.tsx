/** One lane of the tide chart, drawn by uPlot. New data creates a new plot; a new point only redraws it. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { countsAsRead, isPrivate, type ReceiptType } from "../../matrix/receipt-types.ts";
import type { Chart, HeldMark, Lane } from "../../replay/history/chart.ts";
import { colour, colourOf } from "./colours.ts";
import { alignedSeries, type SeriesLine } from "./series.ts";
import { number, shortUser } from "./words.ts";

interface LanePlotProps {
  readonly lane: Lane;
  readonly chart: Chart;
  readonly held: readonly HeldMark[];
  readonly height: number;
  /** The selected point, in units of the axis. */
  readonly now: number;
  /** All users of the chart. The index of a user selects the colour. */
  readonly users: readonly string[];
  /** The user whose private markers are drawn, and whose unread events are shaded. */
  readonly user: string | null;
  /** Whether this lane has the labels of the horizontal axis, which is the same in all lanes. */
  readonly isLabelled: boolean;
  readonly onSeek: (x: number) => void;
}

/** Height of the labels of the horizontal axis, px. */
const LABELS_HEIGHT = 34;

const HELD_RADIUS = 4;
const DASHES: Readonly<Record<ReceiptType, number[]>> = {
  "m.read": [],
  "m.read.private": [6, 4],
  "m.fully_read": [2, 4],
};

export function LanePlot(props: LanePlotProps) {
  const { lane, chart, height, now, user, isLabelled } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  // A redraw reads the latest props.
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = box.current!;
    const draw = () => {
      plot.current?.destroy();
      plot.current = plotOf(element, latest);
    };
    draw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: fullHeight(height, isLabelled) }),
    );
    observer.observe(element);
    return () => {
      scheme.removeEventListener("change", draw);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [lane, chart, height, user, isLabelled]);
  useEffect(() => plot.current?.redraw(false), [now]);
  const { markers, events } = lane;
  const label = `${number(events.x.length)} points of events, lines of ${new Set(markers.map(({ user }) => shortUser(user))).size} users. The tables below have the same data.`;
  return (
    <div
      ref={box}
      class="plot"
      role="img"
      aria-label={label}
      style={{ minHeight: `${fullHeight(height, isLabelled)}px` }}
    />
  );
}

function fullHeight(height: number, isLabelled: boolean): number {
  return isLabelled ? height + LABELS_HEIGHT : height;
}

function plotOf(element: HTMLElement, latest: { readonly current: LanePlotProps }): uPlot {
  const { lane, chart, height, users, user, isLabelled } = latest.current;
  const markers = lane.markers.filter((marker) => !isPrivate(marker.type) || marker.user === user);
  const lines: SeriesLine[] = [
    { ...lane.events, until: chart.until },
    { ...lane.older, until: undefined },
    ...markers.map((marker) => ({ ...marker, until: chart.until })),
  ];
  const stepped = uPlot.paths.stepped!({ align: 1 });
  const series: uPlot.Series[] = [
    {},
    { label: "events", stroke: colour("--events"), width: 2, paths: stepped, points: { show: false }, spanGaps: true },
    { label: "history and backfill", stroke: colour("--events"), paths: () => null, points: { show: true, size: 3 } },
    ...markers.map((marker) => ({
      label: `${marker.user} ${marker.type}`,
      stroke: colour(colourOf(users.indexOf(marker.user))),
      width: marker.user === user ? 3 : user === null ? 1.5 : 0.75,
      dash: DASHES[marker.type],
      paths: stepped,
      points: { show: false },
      spanGaps: true,
    })),
  ];
  const selected = markers.findIndex((marker) => marker.user === user && countsAsRead(marker.type));
  const axis: uPlot.Axis = {
    stroke: colour("--text"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: fullHeight(height, isLabelled),
      ms: 1,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      padding: [6, 8, 0, 0],
      scales: {
        x: { time: false, range: [chart.from, Math.max(chart.until, chart.from + 1)] },
        y: { range: (_, low, high) => [low - (high - low) * 0.04 - 1, high + (high - low) * 0.04 + 1] },
      },
      axes: [
        {
          ...axis,
          size: isLabelled ? LABELS_HEIGHT : 0,
          ...(!isLabelled && { ticks: { show: false } }),
          values: (_, ticks) => ticks.map(isLabelled ? (chart.x === "time" ? timeTick(chart) : compact) : () => ""),
        },
        { ...axis, size: 56, space: 24, values: (_, ticks) => ticks.map(compact) },
      ],
      series,
      // The unread events of the selected user are between the staircase and the line of the user.
      bands: selected < 0 ? [] : [{ series: [1, selected + 3], fill: colour("--unread") }],
      hooks: { draw: [(drawn) => overlay(drawn, latest.current)] },
    },
    alignedSeries(lines) as uPlot.AlignedData,
    element,
  );
  seekable(plot, latest);
  return plot;
}

/** Formats times (UTC) with a precision that suits the width of the window. */
function timeTick({ from, until }: Chart): (at: number) => string {
  const text = (at: number) => new Date(at).toISOString();
  if (until - from > 2 * 86_400_000) return (at) => text(at).slice(0, 10);
  if (until - from > 600_000) return (at) => text(at).slice(11, 16);
  return until - from > 10_000 ? (at) => text(at).slice(11, 19) : (at) => text(at).slice(17, 23);
}

function compact(value: number): string {
  return Math.abs(value) >= 10_000 ? `${(value / 1_000).toLocaleString("en")}k` : value.toLocaleString("en");
}

/** Draws held receipts and the selected point. The part after the point is veiled. */
function overlay(plot: uPlot, { held, now }: LanePlotProps): void {
  const { ctx, bbox } = plot;
  const x = (value: number) => plot.valToPos(value, "x", true);
  const y = (value: number) => plot.valToPos(value, "y", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  for (const mark of held) {
    const { ended } = mark;
    ctx.strokeStyle = colour("--held");
    ctx.fillStyle = colour("--held");
    if (ended !== null && ended.x <= now) {
      ctx.globalAlpha = 0.6;
      ctx.beginPath();
      ctx.moveTo(x(mark.x), y(mark.y));
      ctx.lineTo(x(ended.x), y(ended.y));
      ctx.stroke();
      ctx.globalAlpha = 1;
      circle(ctx, x(ended.x), y(ended.y));
      ctx.fill();
    }
    circle(ctx, x(mark.x), y(mark.y));
    ctx.fillStyle = colour("--card");
    ctx.fill();
    ctx.stroke();
  }
  const at = x(now);
  ctx.fillStyle = colour("--veil");
  ctx.fillRect(at, bbox.top, bbox.left + bbox.width - at, bbox.height);
  ctx.strokeStyle = colour("--accent");
  ctx.beginPath();
  ctx.moveTo(at, bbox.top);
  ctx.lineTo(at, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

function circle(ctx: CanvasRenderingContext2D, x: number, y: number): void {
  ctx.beginPath();
  ctx.arc(x, y, HELD_RADIUS * devicePixelRatio, 0, 2 * Math.PI);
}

/** Selects the point on press and drag. */
function seekable(plot: uPlot, latest: { readonly current: LanePlotProps }): void {
  const { over } = plot;
  const seek = (event: PointerEvent) => {
    const { left } = over.getBoundingClientRect();
    latest.current.onSeek(plot.posToVal(event.clientX - left, "x"));
  };
  over.addEventListener("pointerdown", (event) => {
    over.setPointerCapture(event.pointerId);
    seek(event);
  });
  over.addEventListener("pointermove", (event) => {
    if (over.hasPointerCapture(event.pointerId)) seek(event);
  });
}
