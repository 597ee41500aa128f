/**
 * What rules F1–F14 say, written down as naively as can be: everything folded so far in arrays, every question a scan
 * of them. It shares nothing with the fold but the entries' types, so that the two can be held against each other.
 */
import type { Entry, ErasureEntry, Position, ReceiptEntry, StateEntry, TimelineEntry } from "../../actors/entry.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";

export interface ModelEvent {
  readonly id: string;
  readonly order: number;
  readonly event: MatrixEvent;
  /** F3: it was settled as `main` though what it awaits has not come. */
  giveUp: boolean;
  /** F6: the count of live events at which that happens. */
  deadline: number | undefined;
  /** F11 */
  movedFrom: string | undefined;
}

export interface ModelMarker {
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly inferred: boolean;
  readonly event: string;
  readonly order: number;
  readonly ts: number;
}

export interface ModelHeld {
  readonly position: Position;
  readonly receipt: ReceiptEntry;
}

interface StateChange {
  readonly event: MatrixEvent;
  /** 0: a `state` entry. */
  readonly order: number;
  /** Where it stands among events. */
  readonly place: number;
  /** It says the membership, and isn't the current event: that says none. */
  readonly isMembershipAlone?: true;
}

const HELD_PER_KEY = 8;
const HELD_PER_USER = 64;
const HELD_PER_SERVER = 1_000;
const HELD_PER_ROOM = 10_000;
const COUNT_CAP = 1_000;
const LIVE_EVENTS = 100;
const MESSAGES = [
  "m.room.message",
  "m.room.encrypted",
  "m.sticker",
  "m.poll.start",
  "m.call.invite",
  "org.matrix.msc3381.poll.start",
  "org.matrix.msc3381.v2.poll.start",
];

export class Model {
  readonly base: number;
  readonly events: ModelEvent[] = [];
  markers: ModelMarker[] = [];
  held: ModelHeld[] = [];
  /** State that F10 goes by, in log order. */
  readonly #state: StateChange[] = [];
  #firstLive: number | undefined;
  /** F12: when stays began. */
  readonly #joins: { readonly user: string; readonly order: number }[] = [];
  #liveEvents = 0;
  /** F14: in log order. */
  readonly #erasures: { readonly user: string; readonly before: number }[] = [];
  readonly #erasedEvents = new Set<string>();

  constructor(base: number) {
    this.base = base;
  }

  /** What `describe` would say of the fold's outcome. */
  fold(position: Position, entry: Entry): string[] {
    if (entry[0] === 2) return this.#receipt(position, entry);
    if (entry[0] === 3) return this.#noted(entry);
    if (entry[0] === 4) return this.#erase(entry);
    return this.#event(entry);
  }

  /** F3, F11 */
  thread(id: string): string | undefined {
    const found = this.#find(id);
    return found === undefined ? undefined : this.#threadOf(found).thread;
  }

  isRead(user: string, id: string): boolean | null {
    const found = this.#find(id);
    if (found === undefined) return null;
    if (found.order < 0 || found.event.sender === user || found.order < this.#joinedAt(user)) return true;
    const { thread } = this.#threadOf(found);
    return this.markers.some(
      (marker) =>
        marker.user === user &&
        (marker.type === "m.read" || marker.type === "m.read.private") &&
        (marker.thread === null || marker.thread === thread) &&
        marker.order >= found.order,
    );
  }

  unread(user: string): { unthreaded: number; main: number; threads: Record<string, number> } {
    if (!this.#mayBeJoined(user)) return { unthreaded: 0, main: 0, threads: {} };
    const sent = (thread: string) =>
      this.events.filter(({ event, id }) => event.sender === user && this.thread(id) === thread);
    const unread = this.events.filter(
      (event) =>
        event.order > 0 &&
        !this.#isRedacted(event.id) &&
        isMessage(event.event) &&
        !this.isRead(user, event.id) &&
        !sent(this.thread(event.id)!).some(({ order }) => order > event.order),
    );
    const inThread = (thread: string) =>
      Math.min(unread.filter(({ id }) => this.thread(id) === thread).length, COUNT_CAP);
    const threads: Record<string, number> = {};
    for (const { id } of unread) if (this.thread(id) !== "main") threads[this.thread(id)!] = inThread(this.thread(id)!);
    return { unthreaded: Math.min(unread.length, COUNT_CAP), main: inThread("main"), threads };
  }

  #noted([, event, asOf]: StateEntry): string[] {
    const all = this.#state.filter(({ event: { type, state_key } }) => {
      return type === event.type && state_key === event.state_key;
    });
    const same = all.filter(({ isMembershipAlone }) => !isMembershipAlone);
    const valued = all.filter((change) => typeof change.event.content.membership === "string");
    const newest = Math.max(0, ...this.events.map(({ order }) => order)) || this.base;
    const included = asOf === 0 ? (this.#firstLive ?? newest + 1) - 1 : Math.min(asOf ?? newest, newest);
    const place = included + 0.5;
    if ((same.at(-1)?.place ?? place) <= place) this.#state.push({ event, order: 0, place });
    else if (event.type === "m.room.member" && (valued.at(-1)?.place ?? place) <= place) {
      this.#state.push({ event, order: 0, place, isMembershipAlone: true });
    }
    return ["noted"];
  }

  #event([kind, event]: TimelineEntry): string[] {
    const { event_id: id } = event;
    if (this.#find(id) !== undefined) return ["duplicate"];
    const before = new Map(this.events.map((each) => [each, this.#threadOf(each)]));
    const order = this.#nextOrder(kind);
    const folded: ModelEvent = { id, order, event, giveUp: false, deadline: undefined, movedFrom: undefined };
    if (this.#isRedacted(id)) {
      const was = ownThread(event) ?? this.#settledThread(targetOf(event)) ?? "main";
      if (was !== "main") folded.movedFrom = was;
    }
    this.events.push(folded);
    if (order > 0 && kind === 5 && isJoin(event) && !isJoin({ content: event.unsigned?.prev_content })) {
      this.#joins.push({ user: event.state_key!, order });
    }
    if (kind === 0) {
      if (isJoin(event) && !this.#wasJoined(event)) this.#joins.push({ user: event.state_key!, order });
      if (event.state_key !== undefined) this.#state.push({ event, order, place: order });
      this.#firstLive ??= order;
      this.#liveEvents++;
      for (const late of this.events)
        if (late.deadline !== undefined && late.deadline <= this.#liveEvents) late.giveUp = true;
    }
    this.#noteMoves(before);
    return ["ordered", ...this.#release([folded], before)];
  }

  #noteMoves(before: ReadonlyMap<ModelEvent, { thread: string; settled: boolean }>): void {
    for (const [each, { thread, settled }] of before) {
      if (settled && thread !== this.#threadOf(each).thread) each.movedFrom = thread;
    }
  }

  #erase([, user, until, ids]: ErasureEntry): string[] {
    this.#erasures.push({ user, before: until });
    this.markers = this.markers.filter((marker) => marker.user !== user);
    this.held = this.held.filter(({ receipt }) => receipt[1] !== user);
    const before = new Map(this.events.map((each) => [each, this.#threadOf(each)]));
    for (const id of ids) if ((this.#find(id)?.event.sender ?? user) === user) this.#erasedEvents.add(id);
    this.#noteMoves(before);
    return ["erased", ...this.#release([], before)];
  }

  /** F5, F6: what is held on the event that came, and on those that are settled now. */
  #release(came: readonly ModelEvent[], before: ReadonlyMap<ModelEvent, { settled: boolean }>): string[] {
    const settled = this.events.filter((each) => before.get(each)?.settled === false && this.#threadOf(each).settled);
    return [...came, ...settled].flatMap((event) => {
      const waiting = this.held.filter(({ receipt }) => receipt[3] === event.id);
      return waiting.flatMap((held) => {
        if (this.#waits(held.receipt, event)) return [];
        this.held = this.held.filter((other) => other !== held);
        const judged = this.#judge(held.receipt, event);
        return [`${numberOf(held.position)} ${judged === "advanced" ? "released" : judged}`];
      });
    });
  }

  #waits(receipt: ReceiptEntry, event: ModelEvent): boolean {
    if (receipt[4] !== "?" || this.#threadOf(event).settled) return false;
    event.deadline ??= this.#liveEvents + LIVE_EVENTS;
    return true;
  }

  #nextOrder(kind: number): number {
    const orders = this.events.map(({ order }) => order);
    const positive = orders.filter((order) => order > 0);
    if (kind === 0) return Math.max(this.base, ...positive) + 1;
    const negative = orders.filter((order) => order < 0);
    if (kind === 5 && negative.length === 0) return positive.length === 0 ? this.base : Math.min(...positive) - 1;
    return Math.min(0, ...negative) - 1;
  }

  #receipt(position: Position, receipt: ReceiptEntry): string[] {
    if (this.#erasures.some(({ user, before }) => user === receipt[1] && receipt[5] <= before)) {
      return ["rejected: erased"];
    }
    const target = this.#find(receipt[3]);
    if (target !== undefined && (receipt[4] !== "?" || this.#threadOf(target).settled)) {
      return [this.#judge(receipt, target)];
    }
    if (receipt[6] !== null && !this.#allows(receipt[6])) return ["rejected: acl_denied"];
    const dropped = this.#overflow(receipt);
    this.held = [...this.held.filter((held) => held !== dropped), { position, receipt }];
    if (target !== undefined) this.#waits(receipt, target);
    return dropped === undefined ? ["held"] : ["held", `${numberOf(dropped.position)} rejected: held_overflow`];
  }

  #overflow(receipt: ReceiptEntry): ModelHeld | undefined {
    const holder = ([, user, , , , , origin]: ReceiptEntry) => origin ?? user;
    const sameKey = this.held.filter((held) => [1, 2, 4].every((field) => held.receipt[field] === receipt[field]));
    const sameUser = this.held.filter((held) => held.receipt[1] === receipt[1]);
    const ofHolder = (name: string) => this.held.filter((held) => holder(held.receipt) === name);
    if (sameKey.length >= HELD_PER_KEY) return sameKey[0];
    if (sameUser.length >= HELD_PER_USER) return sameUser[0];
    if (receipt[6] !== null && ofHolder(receipt[6]).length >= HELD_PER_SERVER) return ofHolder(receipt[6])[0];
    if (this.held.length < HELD_PER_ROOM) return undefined;
    const remote = this.held.filter(({ receipt: [, , , , , , origin] }) => origin !== null);
    const local = this.held.filter((held) => !remote.includes(held));
    const losing = remote.length >= local.length ? remote : local;
    const most = Math.max(...losing.map((held) => ofHolder(holder(held.receipt)).length));
    return losing.find((held) => ofHolder(holder(held.receipt)).length === most);
  }

  #judge([, user, type, id, named, ts, origin, accepted]: ReceiptEntry, target: ModelEvent): string {
    if (origin !== null && !this.#allows(origin)) return "rejected: acl_denied";
    if (origin !== null && accepted !== true && !this.#mayBeJoined(user)) return "rejected: not_joined";
    const { thread, settled } = this.#threadOf(target);
    const own = this.markers.filter((marker) => marker.user === user && marker.type === type);
    if (named === "?") {
      if (own.some((marker) => covers(marker, thread, target.order))) return "stale";
      this.#put({ user, type, thread, inferred: true, event: id, order: target.order, ts });
      return "advanced";
    }
    const isWrong = named !== null && named !== thread && named !== target.movedFrom;
    if (isWrong && settled && !accepted) return "rejected: wrong_thread";
    const marker = own.find((other) => !other.inferred && other.thread === named);
    const replaces = accepted && type === "m.fully_read" && marker?.event !== id;
    if (marker !== undefined && marker.order >= target.order && !replaces) return "stale";
    this.#put({ user, type, thread: named, inferred: false, event: id, order: target.order, ts });
    return "advanced";
  }

  #put(marker: ModelMarker): void {
    this.markers = this.markers.filter((other) => {
      if (other.user !== marker.user || other.type !== marker.type) return true;
      if (other.inferred === marker.inferred) return other.thread !== marker.thread;
      return !other.inferred || !covers(marker, other.thread!, other.order);
    });
    this.markers = [...this.markers, marker];
  }

  #threadOf({ id, event, giveUp }: ModelEvent): { thread: string; settled: boolean } {
    if (this.#isRedacted(id) || giveUp) return { thread: "main", settled: true };
    const own = ownThread(event);
    if (own !== undefined) return { thread: own, settled: true };
    const way = new Set([id]);
    for (let target = targetOf(event); target !== undefined; ) {
      if (way.has(target)) return { thread: "main", settled: true };
      way.add(target);
      const found = this.#find(target);
      if (found === undefined) return { thread: "main", settled: false };
      if (this.#isRedacted(target) || found.giveUp) return { thread: "main", settled: true };
      const thread = ownThread(found.event);
      if (thread !== undefined) return { thread, settled: true };
      target = targetOf(found.event);
    }
    return { thread: "main", settled: true };
  }

  #settledThread(id: string | undefined): string | undefined {
    const found = this.#find(id);
    if (found === undefined) return undefined;
    const { thread, settled } = this.#threadOf(found);
    return settled ? thread : undefined;
  }

  #isRedacted(id: string): boolean {
    return this.#erasedEvents.has(id) || this.events.some(({ event }) => redactionTarget(event) === id);
  }

  #joinedAt(user: string): number {
    return Math.max(0, ...this.#joins.filter((join) => join.user === user).map(({ order }) => order));
  }

  /** What live events said of the user before, else what this one says, else what state entries said. */
  #wasJoined({ state_key: user, unsigned }: MatrixEvent): boolean {
    const own = this.#state.filter(({ event, isMembershipAlone }) => {
      return event.type === "m.room.member" && event.state_key === user && !isMembershipAlone;
    });
    const told = (unsigned?.prev_content as { membership?: unknown } | undefined)?.membership;
    if (told !== undefined && (own.at(-1)?.order ?? 0) === 0) return told === "join";
    return this.#isJoined(user!);
  }

  #isJoined(user: string): boolean {
    return this.#membershipOf(user) === "join";
  }

  #membershipOf(user: string): unknown {
    return this.#memberEvents()
      .filter(({ state_key }) => state_key === user)
      .at(-1)?.content.membership;
  }

  #memberEvents(): MatrixEvent[] {
    return this.#state
      .map(({ event }) => event)
      .filter(
        ({ type, state_key, content }) =>
          type === "m.room.member" && typeof content.membership === "string" && state_key?.startsWith("@"),
      );
  }

  #mayBeJoined(user: string): boolean {
    return this.#memberEvents().length === 0 || this.#isJoined(user);
  }

  #allows(server: string): boolean {
    const found = this.#state
      .filter(({ event }) => event.type === "m.room.server_acl" && event.state_key === "")
      .at(-1);
    if (found === undefined) return true;
    const { allow, deny, allow_ip_literals } = found.event.content;
    const host = server.toLowerCase().replace(/:\d+$/, "");
    const isLiteral = host.startsWith("[") || /^[\d.]+$/.test(host);
    if (allow_ip_literals === false && isLiteral) return false;
    return !anyMatches(deny, host) && anyMatches(allow, host);
  }

  #find(id: string | undefined): ModelEvent | undefined {
    return this.events.find((event) => event.id === id);
  }
}

function covers(marker: ModelMarker, thread: string, order: number): boolean {
  return (marker.thread === null || marker.thread === thread) && marker.order >= order;
}

function isJoin(event: { type?: string; state_key?: string | undefined; content?: unknown }): boolean {
  if (event.type !== undefined && (event.type !== "m.room.member" || !event.state_key?.startsWith("@"))) return false;
  return (event.content as { membership?: unknown } | null | undefined)?.membership === "join";
}

/** The thread that an event is in by itself. */
function ownThread(event: MatrixEvent): string | undefined {
  const relation = relationOf(event);
  if (relation?.type !== "m.thread" || relation.target === event.event_id) return undefined;
  return isId(relation.target) ? relation.target : undefined;
}

/** The event whose thread it shares. */
function targetOf(event: MatrixEvent): string | undefined {
  if (event.type === "m.room.redaction" || ownThread(event) !== undefined) return undefined;
  const target = relationOf(event)?.target;
  return target !== undefined && isId(target) && target !== event.event_id ? target : undefined;
}

function isId(text: string): boolean {
  return text.startsWith("$") && text.length <= 255;
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

/** F13 */
function isMessage(event: MatrixEvent): boolean {
  if (event.state_key !== undefined || !MESSAGES.includes(event.type) || event.content.msgtype === "m.notice")
    return false;
  return relationOf(event)?.type !== "m.replace";
}

function numberOf(position: Position): string {
  const index = position % 1024;
  return `${Math.floor(position / 1024)}${index === 0 ? "" : `.${index}`}`;
}
