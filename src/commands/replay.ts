/** `tidemark replay`: shows what happened in a room, entry by entry. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { sequenceOf } from "../../actors/entry.ts";
import type { RoomId } from "../matrix/ids.ts";
import { RoomHistory } from "../replay/history/room-history.ts";
import { OUTCOMES, type OutcomeName, type Step, stepOf } from "../replay/history/step.ts";
import { matches, resolveId, type StepFilter } from "../replay/history/step-filter.ts";
import { type Paints, stateLines, stateReport, stepLine, whyLines } from "../replay/history/text.ts";
import { why } from "../replay/history/why-text.ts";
import { busSource, fileSource, type Source } from "../replay/record-source.ts";
import { Refold, type Until } from "../replay/refold.ts";
import { type BusOptions, logCommand, skipOption, skipping, withBus, wrongUsage } from "./bus.ts";
import { Output, wantedPaints } from "./output.ts";
import { Progress } from "./progress.ts";

interface Point {
  readonly position?: number;
  readonly at?: number;
}

interface ReplayOptions extends BusOptions {
  readonly all?: true;
  readonly file?: string;
  readonly json?: true;
  readonly from?: Point;
  readonly until?: Point;
  readonly user?: string;
  readonly event?: string;
  readonly thread?: string;
  readonly outcome?: OutcomeName;
  readonly follow?: true;
  readonly state?: true;
  readonly why?: string;
  readonly skipUnreadable?: true;
}

export function replayCommand(): Command {
  return logCommand("replay", "fold a room's log again, and show what every entry did")
    .addOption(new Option("--file <log>", "an exported log, instead of a broker"))
    .addOption(
      new Option("--from <point>", "the first entry to show: a position or a time (ISO 8601)").argParser(point),
    )
    .addOption(new Option("--until <point>", "the last entry to fold: a position or a time").argParser(point))
    .addOption(new Option("--user <user>", "only this sender or reader; a prefix is enough"))
    .addOption(new Option("--event <event>", "only this event and receipts on it; a prefix is enough"))
    .addOption(new Option("--thread <thread>", "only this thread: main, or a prefix of its root's id"))
    .addOption(new Option("--outcome <outcome>", "only entries with this outcome").choices(OUTCOMES))
    .addOption(new Option("--follow", "continue with new entries, until Ctrl-C"))
    .addOption(new Option("--state", "show the whole state at the end instead of entries"))
    .addOption(new Option("--why <event>", "explain why this event is read or unread for --user"))
    .addOption(new Option("--json", "one JSON object per line, for tools"))
    .addOption(skipOption())
    .action(async (room: RoomId | undefined, options: ReplayOptions) => {
      if (options.file === undefined && (room === undefined) !== (options.all === true)) {
        wrongUsage("name a room, or --all");
      }
      if (options.why !== undefined && (options.user === undefined || (room === undefined && !options.file))) {
        wrongUsage("--why needs a room, and --user <user>");
      }
      if (options.follow && (room === undefined || options.file !== undefined || options.state || options.why)) {
        wrongUsage("--follow needs a room of a broker, and only shows entries");
      }
      const { file } = options;
      if (file !== undefined) return await replay(() => fileSource(file, room), room, options);
      await withBus(options, async (nc) => {
        const { follow } = options;
        const open: Open = async ({ position }) => {
          const source = await busSource(nc, {
            ...(room !== undefined && { room }),
            ...(position !== undefined && { until: sequenceOf(position) }),
            ...(follow && { follow }),
            onUnreadable: skipping(options.skipUnreadable),
          });
          if (source.total === 0 && room !== undefined && !follow) throw new Error(`the log has no room ${room}`);
          return source;
        };
        await replay(open, room, options);
      });
    });
}

/** Opens the logs, to be read to this end. */
type Open = (until: Until) => Promise<Source>;
type OnStep = (step: Step, room: RoomId) => void;

async function replay(open: Open, room: RoomId | undefined, options: ReplayOptions): Promise<void> {
  const out = new Output();
  if (options.why !== undefined) await explain(open, { room, out }, options);
  else {
    const { step, end } = viewOf(out, options);
    end(await fold(open, { room, out, until: options.until ?? {}, step }, options));
  }
  await out.flush();
}

interface Folding {
  readonly room: RoomId | undefined;
  readonly out: Output;
  readonly until: Until;
  readonly step: OnStep | undefined;
}

async function fold(open: Open, { room, out, until, step }: Folding, options: ReplayOptions): Promise<Refold> {
  const { follow = false } = options;
  const source = await open(until);
  const refold = new Refold(until);
  const ended = new AbortController();
  if (follow) process.once("SIGINT", () => ended.abort()).once("SIGTERM", () => ended.abort());
  const progress = new Progress("replaying");
  await source.read(
    (scanned) => {
      refold.fold(scanned, step && ((room, folded) => step(stepOf(room, folded), room.id)));
      if (refold.ended) ended.abort();
      const written = follow ? out.flush() : out.flushIfFull();
      return written === undefined ? undefined : written.then(() => {});
    },
    {
      signal: ended.signal,
      ...((options.state || options.why !== undefined || !process.stdout.isTTY) &&
        !follow && { onProgress: (done) => progress.update(done, source.total) }),
    },
  );
  progress.stop();
  if (room !== undefined && refold.entries === 0 && !refold.ended && options.file !== undefined)
    throw new Error(`the log has no room ${room}`);
  return refold;
}

interface View {
  readonly step?: OnStep;
  readonly end: (refold: Refold) => void;
}

function viewOf(out: Output, options: ReplayOptions): View {
  const paints = wantedPaints();
  if (options.state) return stateView(out, paints, options);
  return stepsView(out, paints, options);
}

function stepsView(out: Output, paints: Paints, options: ReplayOptions): View {
  const { user, event, thread, outcome, from } = options;
  const filter: StepFilter = {
    ...(user !== undefined && { user }),
    ...(event !== undefined && { event }),
    ...(thread !== undefined && { thread }),
    ...(outcome !== undefined && { outcome }),
    ...(from?.position !== undefined && { from: from.position }),
    ...(from?.at !== undefined && { fromTime: from.at }),
  };
  return {
    step: (step, room) => {
      if (!matches(filter, step)) return;
      if (options.json) out.json({ room, ...step });
      else out.line(options.all ? `${stepLine(step, paints)}  ${paints.dim(room)}` : stepLine(step, paints));
    },
    end: () => {},
  };
}

function stateView(out: Output, paints: Paints, { json }: ReplayOptions): View {
  const histories = new Map<RoomId, RoomHistory>();
  return {
    step: (step, room) => {
      let history = histories.get(room);
      if (history === undefined) {
        history = new RoomHistory(room, { stepsMax: 1, endOnly: true });
        histories.set(room, history);
      }
      history.add(step);
    },
    end: (refold) => {
      for (const room of refold.rooms.values()) {
        const state = stateReport(room, histories.get(room.id) ?? new RoomHistory(room.id));
        if (json) out.json(state);
        else for (const line of stateLines(state, paints)) out.line(line);
      }
    },
  };
}

interface Explaining {
  readonly room: RoomId | undefined;
  readonly out: Output;
}

/** Answers `--why`. Beyond `--until` is read only to say where the event comes. */
async function explain(open: Open, { room, out }: Explaining, options: ReplayOptions): Promise<void> {
  const wanted = options.user!;
  /** All events, but only the receipts of users that match, to limit memory. */
  const historiesUntil = async (until: Until) => {
    const histories = new Map<string, RoomHistory>();
    const step: OnStep = (step, room) => {
      let history = histories.get(room);
      if (history === undefined) {
        history = new RoomHistory(room, { user: wanted });
        histories.set(room, history);
      }
      history.add(step);
    };
    await fold(open, { room, out, until, step }, options);
    return histories;
  };
  const histories = await historiesUntil(options.until ?? {});
  let found = firstWith(options.why!, histories);
  if (found === undefined && options.until !== undefined) found = firstWith(options.why!, await historiesUntil({}));
  if (found === undefined) throw new Error(`the log has no event ${options.why}, and no receipt on it`);
  const { history, event } = found;
  const user = resolveId(wanted, history.users(history.position), "user");
  if (user === undefined) throw new Error(`the room has nobody whose id begins with ${wanted}`);
  const answer = why(history, { user, event, position: histories.get(history.room)?.position ?? 0 });
  if (options.json) out.json({ room: history.room, user, event, ...answer });
  else for (const line of whyLines(answer, wantedPaints())) out.line(line);
}

/** The first room that has the event, or a receipt on it. */
function firstWith(given: string, histories: ReadonlyMap<string, RoomHistory>) {
  for (const history of histories.values()) {
    const known = [...history.events.keys(), ...history.held.map(({ event }) => event)];
    const event = resolveId(given, new Set(known), "event");
    if (event !== undefined) return { history, event };
  }
  return undefined;
}

/** Parses a position (an integer) or a time. */
function point(text: string): Point {
  if (/^\d+$/.test(text)) return { position: Number(text) };
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new InvalidArgumentError("must be a position, or a time like 2026-11-22T08:50:00Z.");
  return { at };
}
