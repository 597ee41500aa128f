/** Long polls, and when `/sync` requests are answered. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LongPoll, LongPolls } from "../../../src/gateway/sync/long-polls.ts";
import { OnlineUser, type OnlineUsers } from "../../../src/gateway/sync/online-users.ts";
import { Sync } from "../../../src/gateway/sync/sync.ts";
import type { SyncResponses } from "../../../src/gateway/sync/sync-response.ts";
import { type Timed, TimerWheel } from "../../../src/gateway/sync/timer-wheel.ts";
import type { Device } from "../../../src/gateway/tokens.ts";
import { SYNC_GATHER_MS } from "../../../src/limits.ts";
import type { UserId } from "../../../src/matrix/ids.ts";

const BOB = "@bob:a.org" as UserId;

class Poll extends LongPoll {
  calls = 0;
  /** Resolves at the first call, with its `performance.now()` time. */
  readonly called: Promise<number>;
  readonly #called: (at: number) => void;

  constructor(polls: LongPolls, device: Device, timeoutMs = 10_000) {
    super(polls, device, timeoutMs);
    let called: (at: number) => void = () => {};
    this.called = new Promise((resolve) => {
      called = resolve;
    });
    this.#called = called;
  }

  resume(): void {
    this.calls++;
    this.#called(performance.now());
  }
}

interface Situation {
  readonly polls: LongPolls;
  readonly user: OnlineUser;
  readonly device: Device;
}

const situation = (): Situation => ({
  polls: new LongPolls(),
  user: new OnlineUser(BOB),
  device: { user: BOB, id: "B" },
});

const waiting = suite("long polls");

waiting("a waiting poll is resumed at once by a change, and only once", () => {
  const { polls, user, device } = situation();
  const poll = new Poll(polls, device);
  polls.wait(poll, user, user.version);
  assert.is(poll.calls, 0);
  user.wake();
  assert.is(poll.calls, 1);
  user.wake();
  assert.is(poll.calls, 1);
  assert.is(user.waiting.size, 0);
});

waiting("a change just before the wait is not missed", () => {
  const { polls, user, device } = situation();
  const poll = new Poll(polls, device);
  const { version } = user;
  user.wake();
  polls.wait(poll, user, version);
  assert.is(poll.calls, 1);
});

waiting("changes just after a response are gathered", async () => {
  const { polls, user, device } = situation();
  polls.answered(device);
  const answeredAt = performance.now();
  const poll = new Poll(polls, device);
  polls.wait(poll, user, user.version);
  user.wake();
  user.wake();
  assert.is(poll.calls, 0);
  assert.ok((await poll.called) - answeredAt >= SYNC_GATHER_MS - 1, "not before the gather time is over");
  user.wake();
  assert.is(poll.calls, 1);
  const other = new Poll(polls, { user: BOB, id: "another device" });
  polls.wait(other, user, user.version);
  user.wake();
  assert.is(other.calls, 1, "another device of the user has not been answered");
});

waiting("gathering ends at the timeout of the request at the latest", async () => {
  const { polls, device } = situation();
  const [long, short] = [new Poll(polls, device), new Poll(polls, device, 5)];
  polls.answered(device);
  polls.gather(long);
  polls.gather(short);
  assert.ok((await short.called) < (await long.called));
});

waiting("a poll without a change is resumed at its timeout", async () => {
  const { polls, user, device } = situation();
  const began = performance.now();
  const poll = new Poll(polls, device, 30);
  polls.wait(poll, user, user.version);
  assert.ok((await poll.called) - began >= 29);
  assert.is(user.waiting.size, 0);
});

waiting("a cancelled poll is not resumed, neither by a change nor at the timeout", async () => {
  const { polls, user, device } = situation();
  const gone = new Poll(polls, device, 10);
  const stays = new Poll(polls, device, 40);
  polls.wait(gone, user, user.version);
  polls.wait(stays, user, user.version);
  polls.cancel(gone);
  await stays.called;
  user.wake();
  assert.is(gone.calls, 0);
});

waiting("closing resumes all polls", () => {
  const { polls, user, device } = situation();
  polls.answered(device);
  const [waits, gathers] = [new Poll(polls, { user: BOB, id: "A" }), new Poll(polls, device)];
  polls.wait(waits, user, user.version);
  polls.gather(gathers);
  assert.not.ok(polls.closed);
  polls.close();
  assert.ok(polls.closed);
  assert.equal([waits.calls, gathers.calls], [1, 1]);
});

waiting("a device has one request at a time: with the next one, the one before is resumed and may not wait", () => {
  const { polls, user, device } = situation();
  const [first, second] = [new Poll(polls, device), new Poll(polls, { ...device })];
  const other = new Poll(polls, { user: BOB, id: "another device" });
  for (const poll of [first, other, second]) {
    assert.ok(polls.begin(poll));
    if (poll !== second) polls.wait(poll, user, user.version);
  }
  assert.equal([first.calls, second.calls, other.calls], [1, 0, 0]);
  assert.equal([first.isSuperseded, second.isSuperseded, other.isSuperseded], [true, false, false]);
  polls.end(first);
  const third = new Poll(polls, device);
  polls.begin(third);
  assert.ok(second.isSuperseded, "the end of an older one changes nothing");
  assert.is(second.calls, 0, "it did not wait yet");
});

waiting("clients without a device id don't disturb each other", () => {
  const { polls } = situation();
  const polling = [new Poll(polls, { user: BOB, id: undefined }), new Poll(polls, { user: BOB, id: undefined })];
  for (const poll of polling) polls.begin(poll);
  assert.not.ok(polling[0]!.isSuperseded);
});

waiting("only so many devices may have a request", () => {
  const polls = new LongPolls(2);
  const poll = (id: string) => new Poll(polls, { user: BOB, id });
  const [a, b, c] = [poll("A"), poll("B"), poll("C")] as const;
  assert.equal(
    [a, b, c, poll("A")].map((each) => polls.begin(each)),
    [true, true, false, true],
  );
  polls.end(b);
  assert.ok(polls.begin(c));
  polls.close();
});

waiting.run();

const answering = suite("answering");

/** A `/sync` request whose changes are `changes()`, its answers, and the tokens that it was tried with. */
function syncing(
  changes: () => string | undefined | Promise<string | undefined>,
  { first = false, fullState = false } = {},
) {
  const { user, device } = situation();
  user.known.add(0);
  const users = { cached: () => user, get: async () => user };
  const asked: unknown[] = [];
  const answerOf = (text: string | undefined) => ({
    isEmpty: text === undefined,
    next: { places: [], owed: [] },
    body: () => text ?? "none",
  });
  const answer = (_: unknown, { since }: { since: unknown }) => {
    asked.push(since);
    const text = changes();
    return text instanceof Promise ? text.then(answerOf) : answerOf(text);
  };
  const sync = new Sync(users as unknown as OnlineUsers, { answer } as unknown as SyncResponses);
  const answers: unknown[] = [];
  const note = (answer: unknown) => void answers.push(answer);
  const since = first ? undefined : { places: [], owed: [] };
  const request = { device, filter: {}, since, sinceText: first ? undefined : "s1", fullState, timeoutMs: 10_000 };
  const send = () => sync.answer(request, { answered: note, failed: note });
  const cancel = send();
  return { user, sync, answers, asked, cancel, send, request };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

answering("changes are sent at once, and without changes the request waits", async () => {
  assert.equal(syncing(() => "news").answers, ["news"]);
  let news: string | undefined;
  const waits = syncing(() => news);
  assert.equal(waits.answers, []);
  waits.user.wake();
  assert.equal(waits.answers, [], "a change that this client does not see");
  news = "news";
  waits.user.wake();
  assert.equal(waits.answers, ["news"]);
  waits.user.wake();
  assert.equal(waits.answers, ["news"], "once");
});

answering("a request that waits is answered when its device sends another, and not after it was cancelled", () => {
  const waits = syncing(() => undefined);
  const again = () => {
    const answers: unknown[] = [];
    const note = (answer: unknown) => void answers.push(answer);
    const cancel = waits.sync.answer(waits.request, { answered: note, failed: note });
    return { answers, cancel };
  };
  const second = again();
  assert.equal([waits.answers, second.answers], [["none"], []]);
  second.cancel();
  const third = again();
  assert.equal([second.answers, third.answers], [[], []]);
  waits.sync.close();
});

answering("an initial sync does not wait, and no request waits once the gateway closes", async () => {
  const waits = syncing(() => undefined);
  assert.equal(waits.answers, []);
  waits.sync.close();
  assert.equal(waits.answers, ["none"]);
  const costly = [syncing(() => undefined, { first: true }), syncing(() => undefined, { fullState: true })];
  await turn();
  assert.equal(
    costly.map(({ answers }) => answers),
    [["none"], ["none"]],
  );
});

answering("a request that waits goes on from what it was found to have", () => {
  const waits = syncing(() => undefined);
  waits.user.wake();
  assert.is(waits.asked[0], waits.request.since);
  assert.is.not(waits.asked[1], waits.request.since);
  waits.sync.close();
});

answering("equal first syncs of a device share an answer", async () => {
  const resolves: ((text: string) => void)[] = [];
  const costly = syncing(() => new Promise((done) => resolves.push(done)), { first: true });
  costly.send();
  await turn();
  assert.is(resolves.length, 1);
  resolves[0]!("news");
  await turn();
  assert.equal(costly.answers, ["news", "news"]);
  costly.send();
  await turn();
  assert.is(resolves.length, 2, "later ones are built again");
});

answering("a first sync fails while nothing is known of the user", () => {
  const { user, sync } = syncing(() => "news", { first: true });
  user.known.clear();
  const errors: unknown[] = [];
  const request = { device: { user: user.id, id: "D" }, filter: {}, since: undefined, sinceText: undefined };
  sync.answer(
    { ...request, fullState: false, timeoutMs: 0 },
    { answered: () => assert.unreachable(), failed: (error) => errors.push(error) },
  );
  assert.match(String(errors[0]), "nobody says which rooms the user has");
});

answering("a change while the response is built is not missed", async () => {
  let resolve = (_: string | undefined) => {};
  let asked = 0;
  const slow = syncing(() => {
    asked++;
    return new Promise((done) => (resolve = done));
  });
  slow.user.wake();
  resolve(undefined);
  await turn();
  assert.is(asked, 2);
  resolve("news");
  await turn();
  assert.equal(slow.answers, ["news"]);
});

answering("a cancelled request is not answered and does not wait", async () => {
  let resolve = (_: string | undefined) => {};
  const gone = syncing(() => new Promise((done) => (resolve = done)));
  gone.cancel();
  resolve(undefined);
  await turn();
  assert.is(gone.user.waiting.size, 0);
  const late = syncing(() => new Promise((done) => (resolve = done)));
  late.cancel();
  resolve("news");
  await turn();
  assert.equal([gone.answers, late.answers], [[], []]);
  const waits = syncing(() => undefined);
  waits.cancel();
  waits.user.wake();
  assert.equal(waits.answers, []);
});

answering("errors reach the listener", async () => {
  const error = new Error("no worker");
  assert.equal(
    syncing(() => {
      throw error;
    }).answers,
    [error],
  );
  const rejected = syncing(() => Promise.reject(error));
  await turn();
  assert.equal(rejected.answers, [error]);
});

answering.run();

const wheel = suite("timer wheel");

wheel("items expire in order, never early, and not after they were deleted or postponed", async () => {
  const expired: string[] = [];
  const began = performance.now();
  await new Promise<void>((resolve, reject) => {
    const timers = new TimerWheel<Timed & { readonly name: string; readonly at: number }>(({ name, at }) => {
      if (performance.now() < at) reject(new Error(`${name} is early`));
      expired.push(name);
      if (name === "last") resolve();
    });
    const item = (name: string, ms: number) => ({ name, at: began + ms, slot: undefined });
    const [first, second, put, gone, last] = [
      item("first", 15),
      item("second", 45),
      item("postponed", 75),
      item("gone", 30),
      item("last", 120),
    ] as const;
    timers.set(put, began + 15);
    for (const each of [last, second, first, gone]) timers.set(each, each.at);
    timers.set(put, put.at);
    timers.delete(gone);
    assert.equal(
      timers
        .all()
        .map(({ name }) => name)
        .sort(),
      ["first", "last", "postponed", "second"],
    );
  });
  assert.equal(expired, ["first", "second", "postponed", "last"]);
});

wheel("an item can be set again when it expires, and one in the past expires at once", async () => {
  let turns = 0;
  await new Promise<void>((resolve) => {
    const timers = new TimerWheel<Timed>((item) => {
      if (++turns === 3) resolve();
      else timers.set(item, performance.now() - 1_000);
    });
    timers.set({ slot: undefined }, performance.now());
  });
  assert.is(turns, 3);
});

wheel.run();
