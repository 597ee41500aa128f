/**
 * The active rooms of a partition: an actor each.
 *
 * A room is activated by a record or a question, and passivated when it was not used for a while, or when too many are
 * active: the least recently used first. A room that changed since the last checkpoint has to stay until the next.
 */
import { type ActorRefFrom, createActor, createEmptyActor } from "xstate";
import type { RoomId } from "../../src/matrix/ids.ts";
import type { LogRecord, PlacedRecord } from "../entry.ts";
import type { Folded } from "./fold.ts";
import { roomMachine } from "./machine.ts";
import { Room, type RoomStore } from "./room.ts";

interface RoomsOptions {
  readonly store: RoomStore;
  readonly folded: Folded;
  readonly failed: (error: unknown) => void;
  /** Active rooms beyond which the least recently used are passivated. */
  readonly max: number;
  /** A room that was not used for so long is passivated. */
  readonly idleMs: number;
  /** Monotonic, ms. */
  readonly now: () => number;
}

interface ActiveRoom {
  readonly actor: ActorRefFrom<typeof roomMachine>;
  usedAt: number;
}

export class Rooms {
  readonly #options: RoomsOptions;
  /** The root of their actor system: one of its own would make an actor half as large again. */
  readonly #root = createEmptyActor();
  /** The least recently used first. */
  readonly #active = new Map<RoomId, ActiveRoom>();
  /** Changed since the last checkpoint was taken. */
  #changed = new Set<RoomId>();
  #passivated = 0;

  constructor(options: RoomsOptions) {
    this.#options = options;
    this.#root.start();
  }

  get active(): number {
    return this.#active.size;
  }

  /** Rooms that were passivated since this began. */
  get passivated(): number {
    return this.#passivated;
  }

  /** Held receipts (F4) of the active rooms. */
  get held(): number {
    let held = 0;
    for (const { actor } of this.#active.values()) held += actor.getSnapshot().context.room.held.size;
    return held;
  }

  /** Whether more rooms are active than should be. */
  get crowded(): boolean {
    return this.#active.size > this.#options.max;
  }

  /** Hands a fetch to its rooms: one input each, records in log order. */
  deliver(fetch: readonly PlacedRecord[]): void {
    const batches = new Map<RoomId, LogRecord[]>();
    for (const { room, record } of fetch) {
      const batch = batches.get(room);
      if (batch === undefined) batches.set(room, [record]);
      else batch.push(record);
    }
    for (const [room, records] of batches) {
      this.#changed.add(room);
      this.#use(room).send({ type: "BATCH", records });
    }
  }

  /** A room's state, for reading. One that nobody has heard of is not activated. */
  get(id: RoomId): Room {
    if (!this.#active.has(id) && !this.#options.store.has(id)) return new Room(id);
    return this.#use(id).getSnapshot().context.room;
  }

  /** The rooms that changed since the last time. */
  takeChanged(): Room[] {
    const changed = Array.from(this.#changed, (id) => this.#active.get(id)!.actor.getSnapshot().context.room);
    this.#changed = new Set();
    return changed;
  }

  /** Passivates what is idle or too much. Every change but those since `takeChanged` has to be stored. */
  passivate(): void {
    const idleSince = this.#options.now() - this.#options.idleMs;
    for (const [id, { actor, usedAt }] of this.#active) {
      if (!this.crowded && usedAt > idleSince) return;
      if (this.#changed.has(id)) continue;
      actor.send({ type: "PASSIVATE" });
      this.#active.delete(id);
      this.#passivated++;
    }
  }

  /** Activates a room if need be, and makes it the most recently used. */
  #use(id: RoomId): ActorRefFrom<typeof roomMachine> {
    const known = this.#active.get(id);
    const room = known ?? this.#activate(id);
    room.usedAt = this.#options.now();
    if (known !== undefined) this.#active.delete(id);
    this.#active.set(id, room);
    return room.actor;
  }

  #activate(id: RoomId): ActiveRoom {
    const { store, folded, failed } = this.#options;
    const actor = createActor(roomMachine, { parent: this.#root, input: { id, store, folded, failed } });
    actor.start();
    return { actor, usedAt: 0 };
  }
}
