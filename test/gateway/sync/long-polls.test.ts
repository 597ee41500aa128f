/** Requests for `/sync` that wait: for what, and for how long. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Deadlines, type Timed } from "../../../src/gateway/sync/deadlines.ts";
import { LongPoll, LongPolls } from "../../../src/gateway/sync/long-polls.ts";
import { OnlineUser, type OnlineUsers } from "../../../src/gateway/sync/online-users.ts";
import { Sync } from "../../../src/gateway/sync/sync.ts";
import type { SyncNews } from "../../../src/gateway/sync/sync-news.ts";
import type { Device } from "../../../src/gateway/tokens.ts";
import { SYNC_GATHER_MS } from "../../../src/limits.ts";
import type { UserId } from "../../../src/matrix/ids.ts";

const BOB = "@bob:a.org" as UserId;

class Poll extends LongPoll {
  calls = 0;
  /** Resolves at the first call, to when that was. */
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

  again(): void {
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
  user: new OnlineUser(BOB, 1),
  device: { user: BOB, id: "B" },
});

const waiting = suite("long polls");

waiting("who has waited hears of a change at once, and once", () => {
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

waiting("a change that came before one waits is not missed", () => {
  const { polls, user, device } = situation();
  const poll = new Poll(polls, device);
  const { version } = user;
  user.wake();
  polls.wait(poll, user, version);
  assert.is(poll.calls, 1);
});

waiting("what comes just after an answer is gathered, and told together", async () => {
  const { polls, user, device } = situation();
  polls.answered(device);
  const answeredAt = performance.now();
  const poll = new Poll(polls, device);
  polls.wait(poll, user, user.version);
  user.wake();
  user.wake();
  assert.is(poll.calls, 0);
  assert.ok((await poll.called) - answeredAt >= SYNC_GATHER_MS - 1, "not before the time is over");
  user.wake();
  assert.is(poll.calls, 1);
  const other = new Poll(polls, { user: BOB, id: "another device" });
  polls.wait(other, user, user.version);
  user.wake();
  assert.is(other.calls, 1, "another device of the user was not answered just now");
});

waiting("to gather lasts no longer than the request's time", async () => {
  const { polls, device } = situation();
  const [long, short] = [new Poll(polls, device), new Poll(polls, device, 5)];
  polls.answered(device);
  polls.gather(long);
  polls.gather(short);
  assert.ok((await short.called) < (await long.called));
});

waiting("one's time ends without a change", async () => {
  const { polls, user, device } = situation();
  const began = performance.now();
  const poll = new Poll(polls, device, 30);
  polls.wait(poll, user, user.version);
  assert.ok((await poll.called) - began >= 29);
  assert.is(user.waiting.size, 0);
});

waiting("who gives up is not called, neither at a change nor at the end", async () => {
  const { polls, user, device } = situation();
  const gone = new Poll(polls, device, 10);
  const stays = new Poll(polls, device, 40);
  polls.wait(gone, user, user.version);
  polls.wait(stays, user, user.version);
  polls.stop(gone);
  await stays.called;
  user.wake();
  assert.is(gone.calls, 0);
});

waiting("all are called when nobody may wait any more", () => {
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

waiting.run();

const answering = suite("answering");

/** A `/sync` for which `made` is to be told, and what became of it. */
function asking(
  made: () => string | undefined | Promise<string | undefined>,
  { first = false, fullState = false } = {},
) {
  const { user, device } = situation();
  const users = { ready: () => user, get: async () => user };
  const news = { since: made, none: () => "none" };
  const sync = new Sync(users as unknown as OnlineUsers, news as unknown as SyncNews);
  const answers: unknown[] = [];
  const note = (answer: unknown) => void answers.push(answer);
  const request = {
    device,
    filter: {},
    since: first ? undefined : { marks: [], memberships: [] },
    fullState,
    timeoutMs: 10_000,
  };
  const giveUp = sync.answer(request, { answered: note, failed: note });
  return { user, sync, answers, giveUp };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

answering("news are told at once, and without news one waits for them", async () => {
  assert.equal(asking(() => "news").answers, ["news"]);
  let news: string | undefined;
  const waits = asking(() => news);
  assert.equal(waits.answers, []);
  waits.user.wake();
  assert.equal(waits.answers, [], "a change that is not shown to this client");
  news = "news";
  waits.user.wake();
  assert.equal(waits.answers, ["news"]);
  waits.user.wake();
  assert.equal(waits.answers, ["news"], "once");
});

answering("a first sync doesn't wait, and neither does anybody once the gateway closes", () => {
  const waits = asking(() => undefined);
  assert.equal(waits.answers, []);
  waits.sync.close();
  assert.equal(waits.answers, ["none"]);
  assert.equal(asking(() => undefined, { first: true }).answers, ["none"]);
  assert.equal(asking(() => undefined, { fullState: true }).answers, ["none"]);
});

answering("a change that comes while the answer is made is not missed", async () => {
  let resolve = (_: string | undefined) => {};
  let asked = 0;
  const slow = asking(() => {
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

answering("who has gone is neither answered nor waited for", async () => {
  let resolve = (_: string | undefined) => {};
  const gone = asking(() => new Promise((done) => (resolve = done)));
  gone.giveUp();
  resolve(undefined);
  await turn();
  assert.is(gone.user.waiting.size, 0);
  const late = asking(() => new Promise((done) => (resolve = done)));
  late.giveUp();
  resolve("news");
  await turn();
  assert.equal([gone.answers, late.answers], [[], []]);
  const waits = asking(() => undefined);
  waits.giveUp();
  waits.user.wake();
  assert.equal(waits.answers, []);
});

answering("what goes wrong is told", async () => {
  const error = new Error("no worker");
  assert.equal(
    asking(() => {
      throw error;
    }).answers,
    [error],
  );
  const rejected = asking(() => Promise.reject(error));
  await turn();
  assert.equal(rejected.answers, [error]);
});

answering.run();

const deadlines = suite("deadlines");

deadlines("each is due in turn, not early, and not once it was deleted or put off", async () => {
  const due: string[] = [];
  const began = performance.now();
  await new Promise<void>((resolve, reject) => {
    const wheel = new Deadlines<Timed & { readonly name: string; readonly at: number }>(({ name, at }) => {
      if (performance.now() < at) reject(new Error(`${name} is early`));
      due.push(name);
      if (name === "last") resolve();
    });
    const item = (name: string, ms: number) => ({ name, at: began + ms, slot: undefined });
    const [first, second, put, gone, last] = [
      item("first", 15),
      item("second", 45),
      item("put off", 75),
      item("gone", 30),
      item("last", 120),
    ] as const;
    wheel.set(put, began + 15);
    for (const each of [last, second, first, gone]) wheel.set(each, each.at);
    wheel.set(put, put.at);
    wheel.delete(gone);
    assert.equal(
      wheel
        .all()
        .map(({ name }) => name)
        .sort(),
      ["first", "last", "put off", "second"],
    );
  });
  assert.equal(due, ["first", "second", "put off", "last"]);
});

deadlines("what is due may wait again, and what is long past is due at once", async () => {
  let turns = 0;
  await new Promise<void>((resolve) => {
    const wheel = new Deadlines<Timed>((item) => {
      if (++turns === 3) resolve();
      else wheel.set(item, performance.now() - 1_000);
    });
    wheel.set({ slot: undefined }, performance.now());
  });
  assert.is(turns, 3);
});

deadlines.run();
