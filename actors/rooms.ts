/** The active rooms of a partition: an actor each, started by the first record for it. */
import { type ActorRefFrom, createActor } from "xstate";
import type { RoomId } from "../src/matrix/ids.ts";
import type { LogRecord } from "./entry.ts";
import type { Room } from "./room.ts";
import { type Folded, roomMachine } from "./room-machine.ts";
import type { RoomStore } from "./room-store.ts";

/** A record, and the room that its subject names. */
export interface RoomRecord {
  readonly room: RoomId;
  readonly record: LogRecord;
}

export class Rooms {
  readonly #actors = new Map<RoomId, ActorRefFrom<typeof roomMachine>>();
  readonly #store: RoomStore;
  readonly #folded: Folded;
  readonly #failed: (error: unknown) => void;

  constructor(store: RoomStore, folded: Folded, failed: (error: unknown) => void) {
    this.#store = store;
    this.#folded = folded;
    this.#failed = failed;
  }

  /** Hands a fetch to its rooms: one input each, records in log order. */
  deliver(fetch: readonly RoomRecord[]): void {
    const batches = new Map<RoomId, LogRecord[]>();
    for (const { room, record } of fetch) {
      const batch = batches.get(room);
      if (batch === undefined) batches.set(room, [record]);
      else batch.push(record);
    }
    for (const [room, records] of batches) this.#actor(room).send({ type: "BATCH", records });
  }

  /** A room's state, for reading. One that has no actor is not activated for it. */
  get(room: RoomId): Room {
    return this.#actors.get(room)?.getSnapshot().context.room ?? this.#store.load(room);
  }

  /** Passivates all of them. */
  passivate(): void {
    for (const actor of this.#actors.values()) actor.send({ type: "PASSIVATE" });
    this.#actors.clear();
  }

  #actor(id: RoomId): ActorRefFrom<typeof roomMachine> {
    let actor = this.#actors.get(id);
    if (actor === undefined) {
      actor = createActor(roomMachine, {
        input: { id, store: this.#store, folded: this.#folded, failed: this.#failed },
      });
      this.#actors.set(id, actor);
      actor.start();
    }
    return actor;
  }
}
