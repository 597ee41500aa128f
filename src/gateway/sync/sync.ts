/**
 * `GET /sync` (Matrix specification, "Syncing"): when it is answered. `sync-news.ts` says with what.
 *
 *     news since the token? ──yes──▶ answered
 *                           ──no───▶ wait for the first change, or the end of the time ──▶ again
 *
 * A first sync, and one for the full state, are answered at once.
 */
import { LongPoll, LongPolls } from "./long-polls.ts";
import type { OnlineUser, OnlineUsers } from "./online-users.ts";
import type { SyncNews, SyncRequest } from "./sync-news.ts";

/** Where the answer goes: one of them is called, once. */
export interface SyncListener {
  /** JSON */
  readonly answered: (body: string) => void;
  readonly failed: (error: unknown) => void;
}

export interface SyncWait extends SyncRequest {
  readonly timeoutMs: number;
}

class Poll extends LongPoll {
  readonly request: SyncWait;
  readonly listener: SyncListener;
  readonly again: () => void;
  /** Neither answered nor given up. */
  isOpen = true;

  constructor(polls: LongPolls, request: SyncWait, listener: SyncListener, again: () => void) {
    super(polls, request.device, request.timeoutMs);
    this.request = request;
    this.listener = listener;
    this.again = again;
  }
}

export class Sync {
  readonly #users: OnlineUsers;
  readonly #news: SyncNews;
  readonly #polls = new LongPolls();

  constructor(users: OnlineUsers, news: SyncNews) {
    this.#users = users;
    this.#news = news;
  }

  /** Tells what changed for who asks, now or later. Returns how to give it up. */
  answer(request: SyncWait, listener: SyncListener): () => void {
    const poll = new Poll(this.#polls, request, listener, () => this.#try(poll));
    const mayGather = this.#mayWait(poll) && this.#users.ready(request.device.user) !== undefined;
    if (mayGather && this.#polls.gathers(request.device)) this.#polls.gather(poll);
    else this.#try(poll);
    return () => {
      poll.isOpen = false;
      this.#polls.stop(poll);
    };
  }

  /** Answers everybody who waits, and lets nobody wait any more. */
  close(): void {
    this.#polls.close();
  }

  #mayWait({ request, until }: Poll): boolean {
    if (this.#polls.closed || request.since === undefined || request.fullState) return false;
    return until > performance.now();
  }

  #try(poll: Poll): void {
    const user = this.#users.ready(poll.device.user);
    if (user !== undefined) this.#tryFor(user, poll);
    else this.#users.get(poll.device.user).then((loaded) => this.#tryFor(loaded, poll), poll.listener.failed);
  }

  #tryFor(user: OnlineUser, poll: Poll): void {
    const { version } = user;
    try {
      const news = this.#news.since(user, poll.request);
      if (news instanceof Promise) {
        news.then((body) => this.#made(body, poll, { user, version })).catch(poll.listener.failed);
      } else {
        this.#made(news, poll, { user, version });
      }
    } catch (error) {
      poll.listener.failed(error);
    }
  }

  #made(body: string | undefined, poll: Poll, { user, version }: { user: OnlineUser; version: number }): void {
    if (!poll.isOpen) return;
    if (body === undefined && this.#mayWait(poll)) {
      this.#polls.wait(poll, user, version);
      return;
    }
    poll.isOpen = false;
    this.#polls.answered(poll.device);
    poll.listener.answered(body ?? this.#news.none(user, poll.request));
  }
}
