/**
 * The active rooms of a partition: an actor each (`machine.ts`), and the effects of all of them.
 *
 * A room is activated by a record or a question. It is passivated when it was not used for a while, or when too many rooms
 * are active, the least recently used first; one that the store doesn't have as it is stays until a checkpoint has it.
 */
import { createActor, createEmptyActor } from "xstate";
import type { RoomId } from "../../src/matrix/ids.ts";
import type { LogRecord, PlacedRecord } from "../entry.ts";
import { type Folded, foldRecord } from "./fold.ts";
import { type RoomActor, type RoomLogic, roomLogic } from "./machine.ts";
import { Room, type RoomStore } from "./room.ts";

interface RoomsOptions {
  readonly store: RoomStore;
  readonly folded: Folded;
  /** Called when a room fails. */
  readonly failed: (error: unknown) => void;
  /** Active rooms beyond which the least recently used are passivated. */
  readonly max: number;
  /** A room that was not used for so long is passivated. */
  readonly idleMs: number;
  /** Monotonic, ms. */
  readonly now: () => number;
}

interface ActiveRoom {
  readonly actor: RoomActor;
  usedAt: number;
}

export class Rooms {
  readonly #options: RoomsOptions;
  readonly #logic: RoomLogic;
  /** The root of their actor system: one of its own would make an actor half as large again. */
  readonly #root = createEmptyActor();
  /** The least recently used first. */
  readonly #active = new Map<RoomId, ActiveRoom>();
  #passivated = 0;

  constructor(options: RoomsOptions) {
    const { folded, failed } = options;
    this.#options = options;
    this.#logic = roomLogic({
      fold: (room, records) => {
        for (const record of records) foldRecord(room, record, folded);
      },
      report: failed,
    });
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
    for (const { actor } of this.#active.values()) held += actor.getSnapshot().room?.held.size ?? 0;
    return held;
  }

  /** Whether more rooms are active than should be. */
  get crowded(): boolean {
    return this.#active.size > this.#options.max;
  }

  /** Hands the records of a fetch to their rooms: one input each, records in log order. */
  deliver(fetch: readonly PlacedRecord[]): void {
    const batches = new Map<RoomId, LogRecord[]>();
    for (const { room, record } of fetch) {
      if (room === undefined) continue;
      const batch = batches.get(room);
      if (batch === undefined) batches.set(room, [record]);
      else batch.push(record);
    }
    for (const [room, records] of batches) this.#use(room).send({ type: "BATCH", records });
  }

  /** A room's state, for reading. One that the log doesn't have is not activated. */
  get(id: RoomId): Room {
    if (!this.#active.has(id) && !this.#options.store.has(id)) return new Room(id, 0);
    const { room } = this.#use(id).getSnapshot();
    if (room === undefined) throw new Error("a room could not be loaded");
    return room;
  }

  /** A room's state, if it is active; it counts as unused. */
  peek(id: RoomId): Room | undefined {
    return this.#active.get(id)?.actor.getSnapshot().room;
  }

  /** Returns the rooms that have changed, for a checkpoint, which ends with `stored`. */
  takeChanged(): Room[] {
    const changed: Room[] = [];
    for (const { actor } of this.#active.values()) {
      const { state, room } = actor.getSnapshot();
      if (state !== "changed") continue;
      changed.push(room!);
      actor.send({ type: "STORE" });
    }
    return changed;
  }

  /** The checkpoint that these rooms were returned for is committed. */
  stored(rooms: readonly Room[]): void {
    for (const { id } of rooms) this.#active.get(id)?.actor.send({ type: "STORED" });
  }

  /** Passivates the rooms that are idle or too many, as far as the store has them as they are. */
  passivate(): void {
    const idleSince = this.#options.now() - this.#options.idleMs;
    for (const [id, { actor, usedAt }] of this.#active) {
      if (!this.crowded && usedAt > idleSince) return;
      if (actor.getSnapshot().state !== "clean") continue;
      actor.send({ type: "PASSIVATE" });
      this.#active.delete(id);
      this.#passivated++;
    }
  }

  /** Activates a room if need be, and makes it the most recently used. */
  #use(id: RoomId): RoomActor {
    const known = this.#active.get(id);
    const room = known ?? this.#activate(id);
    room.usedAt = this.#options.now();
    if (known !== undefined) this.#active.delete(id);
    this.#active.set(id, room);
    return room.actor;
  }

  #activate(id: RoomId): ActiveRoom {
    const actor = createActor(this.#logic, { parent: this.#root }).start();
    try {
      actor.send({ type: "LOADED", room: this.#options.store.load(id) });
    } catch (error) {
      actor.send({ type: "FAIL", error });
    }
    return { actor, usedAt: 0 };
  }
}
