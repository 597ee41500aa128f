/**
 * Who is shown what by `/sync`, against a naive model: people come and go, and the room's history visibility changes, while clients
 * sync with two gateways in turn, one of which is started again. Then with every token of before, and with tokens of others.
 */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, hasEvent, STATE } from "../../../actors/entry.ts";
import { reasonOf } from "../../../src/errors.ts";
import type { Tidemark } from "../../../src/start.ts";
import { BASE } from "../../support/example-room.ts";
import { type GatewayHarness, httpClient, startGateway } from "../../support/gateway.ts";
import { type Body, eventually } from "../../support/harness.ts";
import { checkAsync } from "../../support/property.ts";
import { type ModelledEvent, VisibilityModel } from "../../support/visibility-model.ts";
import { VISITED_USERS, visits } from "../../support/visits.ts";

const FILTER = JSON.stringify({ room: { timeline: { limit: 100 } } });
const KINDS = { 0: "event", 1: "backfill", 3: "state", 5: "history" } as const;
const SECTIONS = ["join", "leave", "invite", "knock"] as const;
const EVERYTHING = Number.NEGATIVE_INFINITY;

/** A token, and the position of the last entry that was sent before it. */
interface Kept {
  readonly token: string;
  readonly position: number;
}

/** What a client was shown of the room, beginning with a token. */
class Shown {
  readonly events = new Map<string, number>();
  section: (typeof SECTIONS)[number] | undefined;
  /** Older events may be missing. */
  completeFrom = EVERYTHING;
  /** What came through this position need not be shown. */
  after = 0;

  apply({ rooms }: Body, room: string): void {
    for (const name of SECTIONS) {
      const section = rooms[name]?.[room];
      if (section === undefined) continue;
      this.section = name;
      if (name !== "join" && name !== "leave") continue;
      const { events, limited } = section.timeline;
      for (const { event_id: id, unsigned } of events) this.events.set(id, unsigned.order);
      if (limited) this.completeFrom = events[0]?.unsigned.order ?? Number.POSITIVE_INFINITY;
    }
  }
}

/** One room, its members' clients, and the model. */
class Stage {
  readonly room: string;
  readonly model = new VisibilityModel(BASE);
  readonly #tidemark: GatewayHarness;
  readonly #urls: () => readonly string[];
  /** What users could see at any time since all of them had converged: a gateway may be a few entries behind. */
  readonly #lately = new Set<string>();
  /** What users could see of events when they came. State that is read late may hide some of it, but not take it back from a cache. */
  readonly #atFirst = new Set<string>();
  #position = 0;
  #turn = 0;

  constructor(room: string, tidemark: GatewayHarness, urls: () => readonly string[]) {
    this.room = room;
    this.#tidemark = tidemark;
    this.#urls = urls;
  }

  async send(entry: Entry): Promise<void> {
    if (!hasEvent(entry)) return;
    const { bus } = this.#tidemark;
    const [kind, event, asOf] = entry;
    const body = kind === STATE && asOf !== undefined ? { events: [event], as_of: asOf } : event;
    const [position] = await bus.sent(KINDS[kind as keyof typeof KINDS], this.room, body);
    this.#position = position!;
    await eventually(() => this.#isFolded(), "the entry is folded");
    const { orders } = await bus.query(this.room, { op: "orders", event_ids: [event.event_id] });
    const known = this.model.events.length;
    this.model.add(position!, entry, orders[event.event_id] ?? undefined);
    this.#noteVisible();
    for (const added of this.model.events.slice(known)) this.#note(added, this.#atFirst);
  }

  async #isFolded(): Promise<boolean> {
    return (await this.#tidemark.bus.query(this.room, { op: "snapshot" })).position === this.#position;
  }

  /** Called when the clients have what the model shows. */
  converged(): void {
    this.#lately.clear();
    this.#noteVisible();
  }

  #noteVisible(): void {
    for (const event of this.model.events) this.#note(event, this.#lately);
  }

  #note(event: ModelledEvent, shown: Set<string>): void {
    for (const user of VISITED_USERS) {
      const isOwn = event.event.type === "m.room.member" && event.event.state_key === user;
      const sees = this.model.sees(user, event);
      const stayed = this.model.stayed(user, event);
      if (sees) shown.add(`${user} in join ${event.event.event_id}`);
      if (stayed && (sees || isOwn)) shown.add(`${user} in leave ${event.event.event_id}`);
    }
  }

  /** Syncs from a token, with the next gateway. No answer may show what the model hides. */
  async sync(user: string, since: string | undefined, shown: Shown): Promise<string> {
    const urls = this.#urls();
    const client = httpClient(urls[this.#turn++ % urls.length]!, user, user);
    const body = await client.sync({ filter: FILTER, ...(since !== undefined && { since }) });
    for (const name of ["join", "leave"] as const) {
      for (const { event_id: id } of body.rooms[name][this.room]?.timeline.events ?? []) {
        const what = `${user} in ${name} ${id}`;
        assert.ok(this.#lately.has(what) || this.#atFirst.has(what), `${user} is shown ${id} in ${name}`);
      }
    }
    shown.apply(body, this.room);
    return body.next_batch;
  }

  /** Syncs until the client has what the model shows since a position. Returns the token. */
  async converge(user: string, since: string | undefined, after: number, shown = new Shown()): Promise<Kept> {
    const { bus } = this.#tidemark;
    const { membership, position = 0 } = (await bus.query(user, { op: "rooms" })).rooms[this.room] ?? {};
    // A first sync says nothing of rooms that were left.
    if (since === undefined && !["join", "invite", "knock"].includes(membership)) shown.after = this.#position;
    // What was hidden when the client was there is not shown later, unless the room is new to it.
    const isNew = position > after && (membership === "join" || this.model.knownMembership(user, after) !== "join");
    const from = Math.max(isNew ? EVERYTHING : after, shown.after);
    let token = since;
    let lacking: string | undefined;
    try {
      await eventually(async () => {
        token = await this.sync(user, token, shown);
        lacking = this.#lacking(user, from, shown, membership);
        return lacking === undefined;
      }, "what the model shows");
    } catch (error) {
      throw new Error(`${user}, after ${after}: ${lacking ?? reasonOf(error)}`, { cause: error });
    }
    return { token: token!, position: this.#position };
  }

  #lacking(user: string, after: number, { section, events, completeFrom }: Shown, membership: unknown) {
    const as = membership === "ban" ? "leave" : membership;
    if (section !== undefined && section !== as) return `the room is shown as ${section}, not ${as}`;
    const end = as === "leave" ? (this.model.lastLeave(user) ?? EVERYTHING) : Number.POSITIVE_INFINITY;
    const isExpected = (event: ModelledEvent) => {
      const { isLive, position, order } = event;
      if (!isLive || position <= after || order < completeFrom || order > end) return false;
      if (as !== "join" && as !== "leave") return false;
      return this.model.sees(user, event) && (as === "join" || this.model.stayed(user, event));
    };
    const missing = this.model.events.filter((event) => isExpected(event) && !events.has(event.event.event_id));
    return missing.length === 0 ? undefined : missing.map(({ event }) => event.event_id).join(", ");
  }
}

let rooms = 0;

const visibility = suite("visibility");

visibility(
  "a client is shown exactly what the room's history visibility allows, by whatever gateway and token",
  async () => {
    await using tidemark = await startGateway({ standalone: false, users: VISITED_USERS });
    let second: Tidemark = await tidemark.another();
    const restart = fc.nat(40);
    await checkAsync(
      fc.asyncProperty(visits, restart, async (entries, restartAt) => {
        const stage = new Stage(`!v${rooms++}:a.org`, tidemark, () => [tidemark.url, second.httpUrl]);
        const clients = new Map(VISITED_USERS.map((user) => [user, { shown: new Shown(), kept: [] as Kept[] }]));
        for (const [i, entry] of entries.entries()) {
          await stage.send(entry);
          if (i === restartAt) {
            await second.stop();
            second = await tidemark.another();
          }
          if (i % 4 !== 3) continue;
          for (const [user, { shown, kept }] of clients) {
            const last = kept.at(-1);
            kept.push(await stage.converge(user, last?.token, last?.position ?? EVERYTHING, shown));
          }
          stage.converged();
        }
        for (const [user, { kept }] of clients) {
          for (const { token, position } of kept) await stage.converge(user, token, position);
          const [other] = [...clients].find(([name]) => name !== user)![1].kept;
          const foreign = other === undefined ? [] : [other.token];
          for (const lost of [...foreign, "s12", "t1.2_3.4~5_6"]) await stage.converge(user, lost, EVERYTHING);
        }
      }),
      { numRuns: 6, endOnFailure: true },
    );
  },
);

visibility.run();
