/**
 * Which rooms are known (docs/design.md#requests). Another server may name any room in its receipts. Receipts for rooms that
 * it invented would have records in the log and a place in the store for ever, so the worker that owns the room is asked
 * whether its fold knows it.
 *
 * - Answers are cached: that a room is known for long, because a log loses no room; that it isn't briefly, because events of
 *   it may come at any moment. The two don't evict each other: whoever invents rooms makes answers of the second kind alone.
 * - A room is asked about once at a time, and few rooms at a time: the others wait, in the order in which they came.
 * - When nobody answers in time, or too many rooms or receipts wait, a room counts as known: the fold holds such a receipt,
 *   within the bounds of F4.
 * - A room is known once this process has appended an event of it, even if its owner has not folded that yet.
 */
import { LRUCache } from "lru-cache";
import {
  IN_FLIGHT_BYTES_MAX,
  KNOWN_ROOM_MS,
  ROOM_ANSWER_MS,
  ROOM_ANSWERS_MAX,
  ROOM_QUESTIONS_MAX,
  ROOMS_ASKED_MAX,
  UNKNOWN_ROOM_MS,
} from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";

interface Question {
  readonly room: RoomId;
  /** Called with the answer. */
  readonly waiting: ((isKnown: boolean) => void)[];
  readonly timer: NodeJS.Timeout;
  isAsked: boolean;
}

export class KnownRooms {
  readonly #ask: (room: RoomId) => Promise<boolean>;
  readonly #known: LRUCache<RoomId, true>;
  readonly #unknown: LRUCache<RoomId, true>;
  readonly #questions = new Map<RoomId, Question>();
  readonly #waiting: Question[] = [];
  #asked = 0;
  /** Bytes of the receipts that wait for an answer. */
  #waitingBytes = 0;

  /** `ask`: whether the owner's fold knows a room. Rejects if nobody says. `clock`: one that never runs backwards, in ms. */
  constructor(ask: (room: RoomId) => Promise<boolean>, clock: { readonly now: () => number } = performance) {
    this.#ask = ask;
    const perf = { now: () => clock.now() };
    this.#known = new LRUCache({ max: ROOM_ANSWERS_MAX, ttl: KNOWN_ROOM_MS, ttlResolution: 0, perf });
    this.#unknown = new LRUCache({ max: ROOM_ANSWERS_MAX, ttl: UNKNOWN_ROOM_MS, ttlResolution: 0, perf });
  }

  /** Whether receipts for a room are accepted, at once if that is cached. `bytes`: the size of those that wait meanwhile. */
  has(room: RoomId, bytes: number): boolean | Promise<boolean> {
    if (this.#known.get(room) === true) return true;
    if (this.#unknown.get(room) === true) return false;
    if (this.#waitingBytes + bytes > IN_FLIGHT_BYTES_MAX) return true;
    const question = this.#questions.get(room);
    if (question === undefined && this.#questions.size >= ROOM_QUESTIONS_MAX) return true;
    return this.#wait(question ?? this.#question(room), bytes);
  }

  /** An event of the room is in the log. */
  add(room: RoomId): void {
    if (this.#known.get(room) === true) return;
    this.#known.set(room, true);
    this.#unknown.delete(room);
  }

  async #wait({ waiting }: Question, bytes: number): Promise<boolean> {
    this.#waitingBytes += bytes;
    const isKnown = await new Promise<boolean>((resolve) => waiting.push(resolve));
    this.#waitingBytes -= bytes;
    return isKnown;
  }

  #question(room: RoomId): Question {
    const timer = setTimeout(() => this.#unanswered(question), ROOM_ANSWER_MS);
    const question: Question = { room, waiting: [], timer, isAsked: false };
    this.#questions.set(room, question);
    this.#waiting.push(question);
    this.#askNext();
    return question;
  }

  #askNext(): void {
    while (this.#asked < ROOMS_ASKED_MAX) {
      const question = this.#waiting.shift();
      if (question === undefined) return;
      if (!this.#isOpen(question)) continue;
      question.isAsked = true;
      this.#asked++;
      this.#ask(question.room).then(
        (isKnown) => this.#answered(question, isKnown),
        () => this.#unanswered(question),
      );
    }
  }

  #answered(question: Question, isKnown: boolean): void {
    if (!this.#isOpen(question)) return;
    if (isKnown) this.add(question.room);
    else if (this.#known.get(question.room) !== true) this.#unknown.set(question.room, true);
    this.#close(question);
  }

  /** The next receipts for this room need not wait as long. */
  #unanswered(question: Question): void {
    if (!this.#isOpen(question)) return;
    if (this.#known.get(question.room) !== true) this.#known.set(question.room, true, { ttl: UNKNOWN_ROOM_MS });
    this.#close(question);
  }

  #isOpen(question: Question): boolean {
    return this.#questions.get(question.room) === question;
  }

  #close({ room, waiting, timer, isAsked }: Question): void {
    this.#questions.delete(room);
    clearTimeout(timer);
    if (isAsked) this.#asked--;
    for (const resolve of waiting) resolve(this.#known.get(room) === true);
    this.#askNext();
  }
}
