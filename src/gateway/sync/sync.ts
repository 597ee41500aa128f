/**
 * `GET /sync` (Matrix specification, "Syncing"): when a request is answered. `sync-response.ts` builds the content.
 *
 *     changes since the token? ──yes──▶ answered
 *                              ──no───▶ wait for the next change or the timeout ──▶ try again
 *
 * A first sync, and one with `full_state`, never waits for a change.
 */
import { TidemarkError } from "../../errors.ts";
import { tooManyRequests } from "../../http/matrix-error.ts";
import { SYNCING_RETRY_MS } from "../../limits.ts";
import { CostlySyncs } from "./costly-syncs.ts";
import { LongPoll, LongPolls } from "./long-polls.ts";
import type { OnlineUser, OnlineUsers } from "./online-users.ts";
import { isFull } from "./sync-plan.ts";
import type { SyncAnswer, SyncRequest, SyncResponses } from "./sync-response.ts";

/** Exactly one of the callbacks is called, once, unless the request is cancelled. */
export interface SyncListener {
  /** `body`: JSON. */
  readonly answered: (body: string) => void;
  readonly failed: (error: unknown) => void;
}

export interface TimedSyncRequest extends SyncRequest {
  readonly timeoutMs: number;
}

class Poll extends LongPoll {
  request: TimedSyncRequest;
  readonly listener: SyncListener;
  readonly resume: () => void;
  /** Neither answered nor cancelled. */
  isOpen = true;
  /** When it came, or went on after a change: `performance.now()`. */
  since = performance.now();

  constructor(polls: LongPolls, request: TimedSyncRequest, listener: SyncListener, resume: () => void) {
    super(polls, request.device, request.timeoutMs);
    this.request = request;
    this.listener = listener;
    this.resume = resume;
  }
}

export class Sync {
  readonly #users: OnlineUsers;
  readonly #responses: SyncResponses;
  readonly #polls = new LongPolls();
  readonly #costly = new CostlySyncs();
  readonly #answered: (ms: number) => void;

  /** `answered`: called for each answer, with the time since the request came, or the change for which it waited. */
  constructor(users: OnlineUsers, responses: SyncResponses, answered: (ms: number) => void = () => {}) {
    this.#users = users;
    this.#responses = responses;
    this.#answered = answered;
  }

  /** Answers the request, now or when something changes. Returns a function that cancels it. */
  answer(request: TimedSyncRequest, listener: SyncListener): () => void {
    const ending: SyncListener = {
      answered: (body) => {
        this.#polls.end(poll);
        listener.answered(body);
      },
      failed: (error) => {
        this.#polls.end(poll);
        listener.failed(error);
      },
    };
    const poll = new Poll(this.#polls, request, ending, () => {
      poll.since = performance.now();
      this.#try(poll);
    });
    if (!this.#polls.begin(poll)) {
      listener.failed(tooManyRequests(SYNCING_RETRY_MS));
      return () => {};
    }
    const mayGather = this.#mayWait(poll) && this.#users.cached(request.device.user) !== undefined;
    if (mayGather && this.#polls.isGathering(request.device)) this.#polls.gather(poll);
    else this.#try(poll);
    return () => {
      poll.isOpen = false;
      this.#polls.end(poll);
    };
  }

  /** Answers all waiting requests. Later ones are answered without waiting. */
  close(): void {
    this.#polls.close();
  }

  #mayWait({ request, until, isSuperseded }: Poll): boolean {
    if (this.#polls.closed || isSuperseded || isFull(request)) return false;
    return until > performance.now();
  }

  #try(poll: Poll): void {
    const user = this.#users.cached(poll.device.user);
    if (user !== undefined) this.#tryFor(user, poll);
    else this.#users.get(poll.device.user).then((loaded) => this.#tryFor(loaded, poll), poll.listener.failed);
  }

  #tryFor(user: OnlineUser, poll: Poll): void {
    const { request } = poll;
    const { version } = user;
    if (request.since === undefined && user.known.size === 0) {
      poll.listener.failed(new TidemarkError("BUS_UNAVAILABLE", "nobody says which rooms the user has"));
      return;
    }
    try {
      const answer = isFull(request)
        ? this.#costly.answer(request, async () => this.#responses.answer(user, request))
        : this.#responses.answer(user, request);
      if (answer instanceof Promise) {
        answer.then((later) => this.#answerOrWait(later, poll, { user, version })).catch(poll.listener.failed);
      } else {
        this.#answerOrWait(answer, poll, { user, version });
      }
    } catch (error) {
      poll.listener.failed(error);
    }
  }

  #answerOrWait(answer: SyncAnswer, poll: Poll, { user, version }: { user: OnlineUser; version: number }): void {
    if (!poll.isOpen) return;
    if (answer.isEmpty && this.#mayWait(poll)) {
      poll.request = { ...poll.request, since: answer.next };
      this.#polls.wait(poll, user, version);
      return;
    }
    poll.isOpen = false;
    this.#polls.answered(poll.device);
    const body = answer.body();
    this.#answered(performance.now() - poll.since);
    poll.listener.answered(body);
  }
}
