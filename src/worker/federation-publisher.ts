/**
 * Publishes local users' receipts for other servers (docs/design.md#what-is-published), at least once.
 *
 *     add ──▶ outbox ──(urgent: at once, but not twice within FLUSH_WINDOW_MS; else: the window is over)──▶ EDUs ──▶ acks
 *
 * One dispatch at a time, urgent receipts first, so that a server gets a user's receipts in the order in which they came.
 * What is not acknowledged is sent again, and until then counts as not published: `oldest` holds back what the
 * partition's deltas say of how far it was published, so after a crash the next owner sends it again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Position } from "../../actors/entry.ts";
import type { Dispatch } from "../../actors/federation/lane.ts";
import { FederationOutbox } from "../../actors/federation/outbox.ts";
import type { FoldedEntry } from "../../actors/room/outcome.ts";
import type { Room } from "../../actors/room/room.ts";
import { type AckedPublisher, sendAll } from "../bus/client/acked-publisher.ts";
import type { Notice } from "../conditions.ts";
import { FEDERATION_WINDOW_MS, FLUSH_WINDOW_MS } from "../limits.ts";
import type { ServerName } from "../matrix/ids.ts";
import { eduSlices } from "./edu-messages.ts";

/** How local users' receipts reach other servers. */
export interface FederationOutboxOptions {
  /** Servers whose users are local. Default: those of all users whose receipts come from a front-end. */
  readonly serverNames?: readonly ServerName[];
  /** How long receipts that may wait are batched, ms. Default: `FEDERATION_WINDOW_MS`. */
  readonly windowMs?: number;
}

interface FederationPublisherOptions extends FederationOutboxOptions {
  /** The shard count of the broker. */
  readonly shards: number;
  readonly acked: Pick<AckedPublisher, "publish">;
  /** Says whether EDUs are sent again because the stream has not acknowledged them. Default: nobody is told. */
  readonly unacknowledged?: Notice;
  /** Whether the entry at a position came after this worker had begun to read. Default: each did. */
  readonly isNew?: (position: Position) => boolean;
}

/** When a lane is taken next; undefined when nothing is in it. */
interface LaneTimer {
  timer: NodeJS.Timeout | undefined;
  due: boolean;
}

export class FederationPublisher {
  readonly #options: FederationPublisherOptions;
  readonly #outbox: FederationOutbox;
  readonly #urgent: LaneTimer = { timer: undefined, due: false };
  readonly #waiting: LaneTimer = { timer: undefined, due: false };
  /** The oldest change under way; infinite when none is. */
  #underWay = Number.POSITIVE_INFINITY;
  #sending: Promise<void> | undefined;
  /** Who waits for what to be published. */
  #published: { readonly through: Position; readonly resolve: () => void }[] = [];
  /** `performance.now()` */
  #sentUrgent = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: FederationPublisherOptions) {
    this.#options = options;
    this.#outbox = new FederationOutbox(options.serverNames ?? []);
  }

  /** Called once per entry, in log order. With `published` its receipt is in the stream already. */
  add(room: Room, folded: FoldedEntry, published: boolean): void {
    const { isNew } = this.#options;
    const foldedAt = isNew === undefined || isNew(folded.position) ? performance.now() : undefined;
    this.#outbox.add(room, folded, { published, foldedAt });
    if (!this.#outbox.isEmpty) this.#arm();
  }

  /** The oldest change that is not known to be published; undefined when all are. */
  oldest(): Position | undefined {
    const oldest = Math.min(this.#underWay, this.#outbox.oldest() ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(oldest) ? oldest : undefined;
  }

  /** Receipts that wait. */
  get waiting(): number {
    return this.#outbox.size;
  }

  /** Resolves when every change through a position is published. */
  published(through: Position): Promise<void> {
    return new Promise((resolve) => {
      this.#published.push({ through, resolve });
      this.#settle();
    });
  }

  /** Publishes everything that waits, windows or not. */
  async drain(): Promise<void> {
    while (!this.#closed && (!this.#outbox.isEmpty || this.#sending !== undefined)) {
      this.#urgent.due = this.#waiting.due = true;
      await this.#send();
    }
    this.#disarm();
  }

  /**
   * Stops waiting for receipts of users who have more threads than go in a window: checkpoints, and what is published of the
   * partition, go on without them. They are still sent, but not again after a crash.
   */
  releaseBacklog(): void {
    this.#outbox.releaseBacklog();
    this.#settle();
  }

  /** Gives up what waits: the log has it, and the next owner publishes it. */
  close(): void {
    this.#closed = true;
    this.#options.unacknowledged?.(false);
    this.#disarm();
  }

  #arm(): void {
    if (this.#outbox.isUrgent) this.#wake(this.#urgent, this.#sentUrgent + FLUSH_WINDOW_MS - performance.now());
    if (this.#outbox.hasWindow) this.#wake(this.#waiting, this.#options.windowMs ?? FEDERATION_WINDOW_MS);
  }

  #wake(lane: LaneTimer, delayMs: number): void {
    if (lane.due || lane.timer !== undefined || this.#closed) return;
    lane.timer = setTimeout(
      () => {
        lane.timer = undefined;
        lane.due = true;
        void this.#send();
      },
      Math.max(0, delayMs),
    );
  }

  #disarm(): void {
    for (const lane of [this.#urgent, this.#waiting]) {
      clearTimeout(lane.timer);
      lane.timer = undefined;
    }
  }

  #send(): Promise<void> {
    this.#sending ??= this.#sendDue().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #sendDue(): Promise<void> {
    while (!this.#closed) {
      const dispatch = this.#takeDue();
      if (dispatch === undefined) return;
      this.#underWay = dispatch.since;
      const { acked, shards, unacknowledged } = this.#options;
      for (const slice of eduSlices(dispatch.batches, shards)) {
        await sendAll(acked, slice, {
          closed: () => this.#closed,
          again: (left, reason) => unacknowledged?.(true, { messages: left, reason }),
        });
        unacknowledged?.(false);
        if (this.#closed) return;
        await nextTurn();
      }
      this.#underWay = Number.POSITIVE_INFINITY;
      this.#settle();
    }
  }

  #settle(): void {
    const oldest = this.oldest() ?? Number.POSITIVE_INFINITY;
    this.#published = this.#published.filter(({ through, resolve }) => {
      if (through >= oldest) return true;
      resolve();
      return false;
    });
  }

  #takeDue(): Dispatch | undefined {
    let dispatch: Dispatch | undefined;
    if (this.#urgent.due) {
      this.#sentUrgent = performance.now();
      dispatch = this.#take("urgent", this.#urgent);
    }
    if (dispatch === undefined && this.#waiting.due) dispatch = this.#take("waiting", this.#waiting);
    this.#arm(); // For what is left, and for the end of the window.
    return dispatch;
  }

  #take(lane: "urgent" | "waiting", timer: LaneTimer): Dispatch | undefined {
    const { dispatch, isCut } = this.#outbox.take(lane);
    timer.due = isCut;
    return dispatch;
  }
}
