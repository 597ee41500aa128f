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
      if (options.file !== undefined) return await replay(await fileSource(options.file, room), room, options);
      await withBus(options, async (nc) => {
        const { until, follow } = options;
        const source = await busSource(nc, {
          ...(room !== undefined && { room }),
          ...(until?.position !== undefined && { until: sequenceOf(until.position) }),
          ...(follow && { follow }),
          onUnreadable: skipping(options.skipUnreadable),
        });
        if (source.total === 0 && room !== undefined && !follow) throw new Error(`the log has no room ${room}`);
        await replay(source, room, options);
      });
    });
}

async function replay(source: Source, room: RoomId | undefined, options: ReplayOptions): Promise<void> {
  const { until = {}, follow = false } = options;
  const refold = new Refold(until satisfies Until);
  const ended = new AbortController();
  if (follow) process.once("SIGINT", () => ended.abort()).once("SIGTERM", () => ended.abort());
  const out = new Output();
  const { step, end } = viewOf(out, options);
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
  end(refold);
  await out.flush();
}

interface View {
  readonly step?: (step: Step, room: RoomId) => void;
  readonly end: (refold: Refold) => void;
}

function viewOf(out: Output, options: ReplayOptions): View {
  const paints = wantedPaints();
  if (options.why !== undefined) return whyView(out, paints, options);
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

/** Records all events, but only the receipts of users that match `--user`, to limit memory. */
function whyView(out: Output, paints: Paints, options: ReplayOptions): View {
  const wanted = options.user!;
  const histories = new Map<RoomId, RoomHistory>();
  return {
    step: (step, room) => {
      let history = histories.get(room);
      if (history === undefined) {
        history = new RoomHistory(room, { user: wanted });
        histories.set(room, history);
      }
      history.add(step);
    },
    end: () => {
      for (const history of histories.values()) {
        const user = resolveId(wanted, history.users(history.position), "user");
        const known = [...history.events.keys(), ...history.held.map(({ event }) => event)];
        const event = resolveId(options.why!, new Set(known), "event");
        if (event === undefined && histories.size > 1) continue;
        if (event === undefined) throw new Error(`the log has no event ${options.why}, and no receipt on it`);
        const answer = why(history, { user: user ?? wanted, event, position: history.position });
        if (options.json) out.json({ room: history.room, user: user ?? wanted, event, ...answer });
        else for (const line of whyLines(answer, paints)) out.line(line);
        return;
      }
      throw new Error(`the log has no event ${options.why}, and no receipt on it`);
    },
  };
}

/** Parses a position (an integer) or a time. */
function point(text: string): Point {
  if (/^\d+$/.test(text)) return { position: Number(text) };
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new InvalidArgumentError("must be a position, or a time like 2026-11-22T08:50:00Z.");
  return { at };
}
