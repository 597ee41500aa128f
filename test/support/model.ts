/**
 * What rules F1–F13 say, written down as naively as can be: everything folded so far in arrays, every question a scan
 * of them. It shares nothing with the fold but the entries' types, so that the two can be held against each other.
 */
import type { Entry, EventEntry, Position, ReceiptEntry } from "../../actors/entry.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";

export interface ModelEvent {
  readonly id: string;
  readonly order: number;
  readonly thread: string;
  readonly event: MatrixEvent;
  redacted: boolean;
}

export interface ModelMarker {
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly event: string;
  readonly order: number;
  readonly ts: number;
}

export interface ModelHeld {
  readonly position: Position;
  readonly receipt: ReceiptEntry;
}

const HELD_PER_KEY = 8;
const HELD_PER_ROOM = 10_000;
const COUNT_CAP = 1_000;

export class Model {
  readonly events: ModelEvent[] = [];
  markers: ModelMarker[] = [];
  held: ModelHeld[] = [];
  /** State events that F10 goes by, in log order. */
  readonly #state: MatrixEvent[] = [];

  /** What `describe` would say of the fold's outcome. */
  fold(position: Position, entry: Entry): string[] {
    if (entry[0] === 2) return this.#receipt(position, entry);
    return this.#event(position, entry);
  }

  isRead(user: string, id: string): boolean | null {
    const found = this.#find(id);
    if (found === undefined) return null;
    if (found.order < 0 || found.event.sender === user) return true;
    return this.markers.some(
      (marker) =>
        marker.user === user &&
        (marker.type === "m.read" || marker.type === "m.read.private") &&
        (marker.thread === null || marker.thread === found.thread) &&
        marker.order >= found.order,
    );
  }

  unread(user: string): { unthreaded: number; main: number; threads: Record<string, number> } {
    const unread = this.events.filter(
      (event) => !event.redacted && isMessage(event.event) && !this.isRead(user, event.id),
    );
    const inThread = (thread: string) => Math.min(unread.filter((event) => event.thread === thread).length, COUNT_CAP);
    const threads: Record<string, number> = {};
    for (const { thread } of unread) if (thread !== "main") threads[thread] = inThread(thread);
    return { unthreaded: Math.min(unread.length, COUNT_CAP), main: inThread("main"), threads };
  }

  #event(position: Position, [kind, event]: EventEntry): string[] {
    if (kind === 3) {
      this.#state.push(event);
      return ["noted"];
    }
    if (this.#find(event.event_id) !== undefined) return ["duplicate"];
    const order = kind === 0 ? position : -position;
    const redacted = this.events.some((other) => redactionTarget(other.event) === event.event_id);
    const folded = { id: event.event_id, order, thread: this.#threadOf(event), event, redacted };
    this.events.push(folded);
    if (kind === 0) this.#state.push(event);
    const target = this.#find(redactionTarget(event));
    if (target !== undefined) target.redacted = true;

    const waiting = this.held.filter(({ receipt }) => receipt[3] === event.event_id);
    this.held = this.held.filter(({ receipt }) => receipt[3] !== event.event_id);
    return [
      "ordered",
      ...waiting.map(({ position, receipt }) => {
        const judged = this.#judge(receipt, folded);
        return `${numberOf(position)} ${judged === "advanced" ? "released" : judged}`;
      }),
    ];
  }

  #receipt(position: Position, receipt: ReceiptEntry): string[] {
    const target = this.#find(receipt[3]);
    if (target !== undefined) return [this.#judge(receipt, target)];
    if (receipt[6] !== null && !this.#allows(receipt[6])) return ["rejected: acl_denied"];

    const sameKey = this.held.filter((held) => [1, 2, 4].every((field) => held.receipt[field] === receipt[field]));
    let dropped: ModelHeld | undefined;
    if (sameKey.length >= HELD_PER_KEY) dropped = sameKey[0];
    else if (this.held.length >= HELD_PER_ROOM) dropped = this.held[0];
    this.held = [...this.held.filter((held) => held !== dropped), { position, receipt }];
    return dropped === undefined ? ["held"] : ["held", `${numberOf(dropped.position)} rejected: held_overflow`];
  }

  #judge([, user, type, id, thread, ts, origin]: ReceiptEntry, target: ModelEvent): string {
    if (origin !== null && !this.#allows(origin)) return "rejected: acl_denied";
    if (origin !== null && !this.#mayBeJoined(user)) return "rejected: not_joined";
    if (thread !== null && thread !== target.thread) return "rejected: wrong_thread";
    const isSame = (marker: ModelMarker) => marker.user === user && marker.type === type && marker.thread === thread;
    const marker = this.markers.find(isSame);
    if (marker !== undefined && marker.order >= target.order) return "stale";
    this.markers = [
      ...this.markers.filter((other) => !isSame(other)),
      { user, type, thread, event: id, order: target.order, ts },
    ];
    return "advanced";
  }

  #threadOf(event: MatrixEvent): string {
    const relation = relationOf(event);
    const inThread = relation?.type === "m.thread" && relation.target !== event.event_id;
    if (inThread && relation.target.startsWith("$") && relation.target.length <= 255) return relation.target;
    return (this.#find(relation?.target) ?? this.#find(redactionTarget(event)))?.thread ?? "main";
  }

  #mayBeJoined(user: string): boolean {
    const members = this.#state.filter(
      ({ type, state_key, content }) =>
        type === "m.room.member" && typeof content.membership === "string" && state_key?.startsWith("@"),
    );
    if (members.length === 0) return true;
    return members.filter(({ state_key }) => state_key === user).at(-1)?.content.membership === "join";
  }

  #allows(server: string): boolean {
    const event = this.#state.filter(({ type, state_key }) => type === "m.room.server_acl" && state_key === "").at(-1);
    if (event === undefined) return true;
    const { allow, deny, allow_ip_literals } = event.content;
    const host = server.toLowerCase().replace(/:\d+$/, "");
    const isLiteral = host.startsWith("[") || /^[\d.]+$/.test(host);
    if (allow_ip_literals === false && isLiteral) return false;
    return !anyMatches(deny, host) && anyMatches(allow, host);
  }

  #find(id: string | undefined): ModelEvent | undefined {
    return this.events.find((event) => event.id === id);
  }
}

/** The globs of histories are short: a regular expression will do. */
function anyMatches(globs: unknown, host: string): boolean {
  if (!Array.isArray(globs)) return false;
  return globs.some((glob) => {
    if (typeof glob !== "string") return false;
    const escaped = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`, "i").test(host);
  });
}

function relationOf({ content }: MatrixEvent): { type: string; target: string } | undefined {
  const relation = content["m.relates_to"] as { rel_type?: unknown; event_id?: unknown } | null | undefined;
  const type = relation?.rel_type;
  const target = relation?.event_id;
  return typeof type === "string" && typeof target === "string" ? { type, target } : undefined;
}

function redactionTarget({ type, redacts, content }: MatrixEvent): string | undefined {
  if (type !== "m.room.redaction") return undefined;
  return redacts ?? (typeof content.redacts === "string" ? content.redacts : undefined);
}

function isMessage(event: MatrixEvent): boolean {
  const isOther = event.type === "m.reaction" || event.type === "m.room.redaction" || event.state_key !== undefined;
  return !isOther && !["m.replace", "m.annotation"].includes(relationOf(event)?.type ?? "");
}

function numberOf(position: Position): string {
  const index = position % 1024;
  return `${Math.floor(position / 1024)}${index === 0 ? "" : `.${index}`}`;
}
