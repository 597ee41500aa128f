/** The real `matrix-js-sdk` from npm, unmodified, against the gateway: two users, three devices. */
import { NotificationCountType, ReceiptType, type Room } from "matrix-js-sdk";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, type GatewayHarness, startGateway } from "../support/gateway.ts";
import { eventually } from "../support/harness.ts";
import { type SdkClient, startSdk } from "./js-sdk.ts";

interface Meeting extends AsyncDisposable {
  readonly tidemark: GatewayHarness;
  readonly id: string;
  readonly alice: SdkClient;
  readonly bob: SdkClient;
  /** Bob's other device. */
  readonly bob2: SdkClient;
}

/** Alice and Bob in one room. */
async function meeting(threads: boolean): Promise<Meeting> {
  const tidemark = await startGateway();
  const id = await tidemark.room(tidemark.alice, tidemark.bob);
  const [alice, bob, bob2] = await Promise.all([
    startSdk(tidemark.alice, { threads, device: "A1" }),
    startSdk(tidemark.bob, { threads, device: "B1" }),
    startSdk(tidemark.bob2, { threads, device: "B2" }),
  ]);
  return {
    tidemark,
    id,
    alice,
    bob,
    bob2,
    [Symbol.asyncDispose]: async () => {
      for (const client of [alice, bob, bob2]) await client[Symbol.asyncDispose]();
      await tidemark[Symbol.asyncDispose]();
    },
  };
}

/** Sends, and waits until every client has it. The SDK would show its own first reply outside the thread. */
async function say({ tidemark, id, alice, bob, bob2 }: Meeting, body: string, thread?: string): Promise<string> {
  const event =
    thread === undefined
      ? (await alice.sdk.sendTextMessage(id, body)).event_id
      : await tidemark.alice.say(id, body, thread);
  await Promise.all([alice, bob, bob2].map((client) => client.raw(id, event)));
  return event;
}

async function read(client: SdkClient, id: string, event: string, type = ReceiptType.Read, unthreaded = false) {
  await client.raw(id, event); // while a thread is loaded, its events are missing for a moment
  const room = await client.room(id);
  assert.ok(await client.sdk.sendReadReceipt(room.findEventById(event)!, type, unthreaded));
}

/** The event that a client has a user's receipt on, in the main timeline. */
function readUpTo(room: Room, user: string): string | null {
  return room.getEventReadUpTo(user, true);
}

function receiptOf(room: Room, user: string, type: ReceiptType): string | undefined {
  return room.getReadReceiptForUserId(user, true, type)?.eventId;
}

const sdk = suite("matrix-js-sdk");

// Must run before any client without threads: the library stores once per process whether the server has them.
sdk("threads: receipts and counts are per thread, and an unthreaded receipt covers all threads", async () => {
  await using met = await meeting(true);
  const root = await say(met, "root");
  const reply = await say(met, "in the thread", root);
  const inBob = await met.bob.room(met.id);
  const threadCount = () => inBob.getThreadUnreadNotificationCount(root, NotificationCountType.Total);
  const mainCount = () => inBob.getRoomUnreadNotificationCount(NotificationCountType.Total);
  await eventually(() => mainCount() === 1 && threadCount() === 1, "one event is unread in each");

  await read(met.bob2, met.id, root);
  await eventually(() => mainCount() === 0 && threadCount() === 1, "the main timeline is read, the thread is not");
  await read(met.bob2, met.id, reply);
  await eventually(() => threadCount() === 0, "the thread is read");
  const inAlice = await met.alice.room(met.id);
  await eventually(
    () => inAlice.getThread(root)?.getReadReceiptForUserId(BOB)?.eventId === reply,
    "Alice sees the receipt in the thread",
  );

  const second = await say(met, "in the thread again", root);
  const main = await say(met, "outside");
  await eventually(() => mainCount() === 1 && threadCount() === 1, "one event is unread in each again");
  await read(met.bob2, met.id, main, ReceiptType.Read, true);
  await eventually(() => mainCount() === 0 && threadCount() === 0, "an unthreaded receipt covers both");
  assert.ok(inBob.findEventById(second));
});

for (const threads of [true, false]) {
  const title = threads ? "with threads" : "without threads";

  sdk(`${title}: a public receipt reaches the other user, and only moves forward`, async () => {
    await using met = await meeting(threads);
    const first = await say(met, "first");
    const second = await say(met, "second");
    await read(met.bob, met.id, second);
    const inAlice = await met.alice.room(met.id);
    await eventually(() => readUpTo(inAlice, BOB) === second, "Alice sees Bob's receipt");

    await read(met.bob2, met.id, first);
    const third = await say(met, "third");
    await read(met.bob, met.id, third);
    await eventually(() => readUpTo(inAlice, BOB) === third, "Alice sees Bob's next receipt");
    const shown = met.alice.received.flatMap((text) => (text.includes('"m.receipt"') ? [text] : []));
    assert.not.ok(
      shown.some((text) => text.includes(`"${first}":{"m.read"`)),
      "the receipt on the earlier event was never sent",
    );
  });

  sdk(`${title}: a private receipt reaches its user's devices, and is in no response to anybody else`, async () => {
    await using met = await meeting(threads);
    const event = await say(met, "for your eyes only");
    await read(met.bob, met.id, event, ReceiptType.ReadPrivate);
    const inBob2 = await met.bob2.room(met.id);
    await eventually(() => receiptOf(inBob2, BOB, ReceiptType.ReadPrivate) === event, "Bob's other device sees it");
    const after = await say(met, "later");
    await read(met.bob, met.id, after);
    const inAlice = await met.alice.room(met.id);
    await eventually(() => readUpTo(inAlice, BOB) === after, "Alice is up to date");
    assert.ok(met.bob2.received.some((text) => text.includes("m.read.private")));
    assert.not.ok(met.alice.received.some((text) => text.includes("m.read.private")));
    assert.not.ok(met.alice.received.some((text) => text.includes(`"${event}":{"m.read`)));
  });

  sdk(`${title}: the fully-read marker is account data of its user only`, async () => {
    await using met = await meeting(threads);
    const event = await say(met, "marked");
    await met.bob.sdk.setRoomReadMarkersHttpRequest(met.id, event, event);
    const inBob2 = await met.bob2.room(met.id);
    await eventually(
      () => inBob2.getAccountData("m.fully_read")?.getContent().event_id === event,
      "Bob's other device",
    );
    await eventually(async () => readUpTo(await met.alice.room(met.id), BOB) === event, "Alice sees the receipt");
    assert.not.ok(met.alice.received.some((text) => text.includes("m.fully_read")));
  });

  sdk(`${title}: unread counts rise with messages, and fall with receipts from any device`, async () => {
    await using met = await meeting(threads);
    const inBob = await met.bob.room(met.id);
    await say(met, "one");
    const two = await say(met, "two");
    await eventually(() => inBob.getUnreadNotificationCount(NotificationCountType.Total) === 2, "both are unread");
    await read(met.bob2, met.id, two);
    await eventually(() => inBob.getUnreadNotificationCount(NotificationCountType.Total) === 0, "no event is unread");
    const inAlice = await met.alice.room(met.id);
    assert.is(inAlice.getUnreadNotificationCount(NotificationCountType.Total), 0, "own events are read");
  });

  sdk(`${title}: events and receipts carry their orders`, async () => {
    await using met = await meeting(threads);
    const first = await say(met, "first");
    const second = await say(met, "second");
    const orders = [await met.bob.raw(met.id, first), await met.bob.raw(met.id, second)].map(
      ({ unsigned }) => (unsigned as { order: number }).order,
    );
    assert.ok(orders[0]! < orders[1]!, `orders grow: ${orders.join()}`);
    await read(met.bob, met.id, second);
    const inAlice = await met.alice.room(met.id);
    await eventually(() => readUpTo(inAlice, BOB) === second, "Alice sees it");
    const receipt = inAlice.getReadReceiptForUserId(BOB, true)!.data as { order?: number };
    assert.is(receipt.order, orders[1]);
  });

  sdk(`${title}: an initial sync shows the same as the incremental ones`, async () => {
    await using met = await meeting(threads);
    const first = await say(met, "first");
    const second = await say(met, "second");
    await read(met.bob, met.id, first);
    await read(met.bob, met.id, second, ReceiptType.ReadPrivate);
    await read(met.alice, met.id, second);
    const inBob2 = await met.bob2.room(met.id);
    await eventually(() => receiptOf(inBob2, BOB, ReceiptType.ReadPrivate) === second, "the private receipt");
    await eventually(() => readUpTo(inBob2, ALICE) === second, "Alice's receipt");
    await using fresh = await startSdk(met.tidemark.bob, { threads, device: "B1" });
    const inFresh = await fresh.room(met.id);
    for (const [user, type] of [
      [BOB, ReceiptType.Read],
      [BOB, ReceiptType.ReadPrivate],
      [ALICE, ReceiptType.Read],
    ] as const) {
      assert.is(receiptOf(inFresh, user, type), receiptOf(inBob2, user, type), `${user} ${type}`);
    }
    const timelineOf = (room: Room) =>
      room
        .getLiveTimeline()
        .getEvents()
        .map((event) => event.getId());
    assert.equal(timelineOf(inFresh), timelineOf(inBob2));
    assert.is(
      inFresh.getUnreadNotificationCount(NotificationCountType.Total),
      inBob2.getUnreadNotificationCount(NotificationCountType.Total),
    );
  });

  sdk(`${title}: a client that was disconnected catches up`, async () => {
    await using met = await meeting(threads);
    const before = await say(met, "before");
    met.bob2.away(true);
    let last = "";
    for (let i = 0; i < 40; i++) last = (await met.alice.sdk.sendTextMessage(met.id, `while away ${i}`)).event_id;
    await met.bob.raw(met.id, last);
    await read(met.alice, met.id, last);
    met.bob2.away(false);
    await met.bob2.raw(met.id, last);
    const inBob2 = await met.bob2.room(met.id);
    await eventually(() => readUpTo(inBob2, ALICE) === last, "Alice's receipt");
    await eventually(() => inBob2.getUnreadNotificationCount(NotificationCountType.Total) === 41, "all are unread");
    assert.ok(inBob2.findEventById(before));
    while (inBob2.oldState.paginationToken !== null) await met.bob2.sdk.scrollback(inBob2, 30);
    const timelines = inBob2.getUnfilteredTimelineSet().getTimelines();
    const texts = timelines
      .flatMap((timeline) => timeline.getEvents())
      .flatMap((event) => event.getContent().body ?? []);
    assert.is(texts.length, 41, "nothing is missing, and nothing is repeated");
  });
}

sdk.run();
