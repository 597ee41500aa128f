/** Steps, states and answers as lines for a terminal. */
import { type Order, type Position, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { RoomHistory } from "./room-history.ts";
import type { OutcomeName, Step, StepJudgement, StepReceipt } from "./step.ts";
import type { Why } from "./why-text.ts";

type Paint = (text: string) => string;

const PAINTS = ["dim", "bold", "green", "yellow", "red", "cyan"] as const;
type PaintName = (typeof PAINTS)[number];

/** Functions that colour text. `plain` does not. */
export type Paints = Readonly<Record<PaintName, Paint>>;

export function paintsOf(paint: (name: PaintName) => Paint): Paints {
  return Object.fromEntries(PAINTS.map((name) => [name, paint(name)])) as Paints;
}

export const plain = paintsOf(() => (text) => text);

/** The maximum number of judged receipts in a line. */
const JUDGED_SHOWN_MAX = 4;
const ID_CHARS = 12;
const OUTCOME_CHARS = 9;

const COLOUR: Readonly<Record<OutcomeName, keyof Paints>> = {
  ordered: "cyan",
  duplicate: "dim",
  noted: "dim",
  advanced: "green",
  released: "green",
  stale: "dim",
  held: "yellow",
  rejected: "red",
  erased: "yellow",
};

/** Shortens an id. The result is accepted wherever an id can be entered. */
export function shortId(id: string): string {
  return id.length <= ID_CHARS ? id : `${id.slice(0, ID_CHARS - 1)}…`;
}

export function timeText(at: number): string {
  return new Date(at).toISOString().replace("T", " ").slice(0, 23);
}

/** Returns the line of a step: time, position, outcome, user, entry, changes. */
export function stepLine(step: Step, paints: Paints = plain): string {
  const paint = paints[COLOUR[step.outcome]];
  return [
    paints.dim(timeText(step.at)),
    paints.dim(String(step.position)),
    paint(step.outcome.padEnd(OUTCOME_CHARS)),
    step.user,
    stepWhat(step),
    ...stepChanges(step, paints),
  ].join("  ");
}

/** Describes the entry. */
export function stepWhat(step: Step): string {
  if (step.kind === "erasure") return step.type;
  const kind = step.kind === "backfill" || step.kind === "state" ? `${step.kind} ` : "";
  const thread = threadText(step.kind === "receipt" ? step.thread : step.thread === "main" ? null : step.thread);
  const about = step.about?.replace(/\$\S+/g, shortId);
  const from = step.origin === undefined ? "" : ` from ${step.origin}`;
  return `${kind}${step.type} ${shortId(step.event)}${thread}${about === undefined ? "" : ` (${about})`}${from}`;
}

function threadText(thread: string | null): string {
  if (thread === null) return "";
  if (thread === UNKNOWN_THREAD) return " in an unknown thread";
  return thread === "main" ? " in main" : ` in thread ${shortId(thread)}`;
}

/** Describes what the entry changed, or why it changed nothing. */
export function stepChanges(step: Step, paints: Paints = plain): string[] {
  const texts: string[] = [];
  if (step.kind !== "receipt" && step.order !== undefined) {
    texts.push(step.outcome === "duplicate" ? `keeps order ${step.order}` : `order ${paints.bold(String(step.order))}`);
  }
  if (step.erased !== undefined) {
    const { receipts, events } = step.erased;
    texts.push(`${receipts} receipts and the content of ${events.length} events are gone`);
  }
  if (step.outcome === "held") texts.push("its event is not in the log yet");
  const text = judgementText(step, step.order);
  if (text !== undefined) texts.push(text);
  const judged = step.judged ?? [];
  for (const receipt of judged.slice(0, JUDGED_SHOWN_MAX)) texts.push(receiptText(receipt, paints));
  if (judged.length > JUDGED_SHOWN_MAX) texts.push(`and ${judged.length - JUDGED_SHOWN_MAX} more held receipts`);
  if (step.dropped !== undefined) texts.push(receiptText(step.dropped, paints));
  return texts;
}

function receiptText(receipt: StepReceipt, paints: Paints): string {
  const outcome = paints[COLOUR[receipt.outcome]](receipt.outcome);
  const text = judgementText(receipt, undefined);
  return `${outcome} ${receipt.user} ${receipt.type}${threadText(receipt.thread)} of ${receipt.position}: ${text}`;
}

function judgementText(
  judgement: Partial<Omit<StepJudgement, "outcome">>,
  order: Order | undefined,
): string | undefined {
  if (judgement.to !== undefined) {
    const from = judgement.from === undefined || judgement.from === null ? "none" : String(judgement.from.order);
    return `marker ${from} → ${judgement.to.order}`;
  }
  if (judgement.stands !== undefined) {
    const than = order === undefined ? "" : `, not before ${order}`;
    return `marker is at ${judgement.stands.order}${than}`;
  }
  return judgement.reason === undefined ? undefined : `${judgement.reason}: ${judgement.detail}`;
}

export function whyLines(why: Why, paints: Paints = plain): string[] {
  const paint = why.verdict === "read" ? paints.green : why.verdict === "unread" ? paints.red : paints.yellow;
  return [
    paint(why.answer),
    ...why.because.map((line) => `  ${line}`),
    ...(why.entries.length > 0 ? [paints.dim("Entries that led to this:")] : []),
    ...why.entries.map(({ position, at, text }) => `  ${paints.dim(`${timeText(at)}  ${position}`)}  ${text}`),
  ];
}

/** The state of a room at the end of a replay. */
export interface StateReport {
  readonly room: string;
  readonly position: Position;
  readonly events: number;
  readonly held: readonly { position: Position; user: string; type: string; thread: string | null; event: string }[];
  readonly markers: readonly {
    user: string;
    type: string;
    thread: string | null;
    event: string;
    order: Order;
    ts: number;
    position: Position;
  }[];
  readonly members: Readonly<Record<string, string>>;
  /** The unread counts of joined users, or of all users with markers if no membership is known. */
  readonly unread: readonly {
    user: string;
    total: number;
    main: number;
    threads: Readonly<Record<string, number>>;
    /** The oldest unread event, to explain with `--why`. */
    oldest?: string;
  }[];
}

export function stateReport(room: Room, history: RoomHistory): StateReport {
  const users = new Set<UserId>();
  for (const [user, { membership }] of room.members) if (membership === "join") users.add(user);
  if (!room.membershipKnown) for (const { user } of room.markers) users.add(user);
  return {
    room: room.id,
    position: room.position,
    events: history.eventList.length,
    held: [...room.held].map(({ position, receipt: [, user, type, event, thread] }) => ({
      position,
      user,
      type,
      thread,
      event,
    })),
    markers: [...room.markers].map((marker) => ({ ...marker })),
    members: room.memberships(),
    unread: [...users].map((user) => {
      const { unthreaded, main, threads } = room.unreadCounts(user);
      const { oldest } = history.unread(user, room.position);
      return {
        user,
        total: unthreaded,
        main,
        threads: Object.fromEntries(threads),
        ...(oldest !== undefined && { oldest }),
      };
    }),
  };
}

export function stateLines(state: StateReport, paints: Paints = plain): string[] {
  const title = (text: string) => paints.bold(text);
  const marker = ({ user, type, thread, event, order }: StateReport["markers"][number]) =>
    `  ${user}  ${type}${threadText(thread)}  ${shortId(event)}  order ${order}`;
  const unread = ({ user, total, main, threads, oldest }: StateReport["unread"][number]) => {
    const names = Object.entries(threads).map(([thread, count]) => `${shortId(thread)} ${count}`);
    if (total === 0) return `  ${user}  ${paints.green("0")}`;
    const parts = [`main ${main}`, ...names].join(", ");
    return `  ${user}  ${paints.red(String(total))}  since ${shortId(oldest ?? "")}  (${parts})`;
  };
  return [
    title(`${state.room} at position ${state.position}: ${state.events} events, ${state.unread.length} readers`),
    title("Markers"),
    ...state.markers.map(marker),
    title("Unread"),
    ...state.unread.map(unread),
    title(`Held receipts: ${state.held.length}`),
    ...state.held.map(
      ({ position, user, type, thread, event }) =>
        `  ${position}  ${user}  ${type}${threadText(thread)}  ${shortId(event)}`,
    ),
  ];
}
