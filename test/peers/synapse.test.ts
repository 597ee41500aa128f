/** The real `matrix-js-sdk`, unmodified, in front of a live Synapse, through the proxy: `/sync`, and sliding sync. */
import { ReceiptType } from "matrix-js-sdk";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eventually } from "../support/harness.ts";
import { matrix } from "../support/live-synapse.ts";
import { startProxiedSynapse } from "../support/proxied-synapse.ts";
import { type SdkClient, startSdk } from "./js-sdk.ts";

const enc = encodeURIComponent;
const MESSAGES = 20;

async function orderOf(client: SdkClient, room: string, event: string): Promise<number | undefined> {
  const { unsigned } = await client.raw(room, event);
  const { order, "org.matrix.msc4033.order": unstable } = unsigned as Record<string, number | undefined>;
  assert.is(unstable, order);
  return order;
}

const sdk = suite("matrix-js-sdk with a live Synapse");

for (const isSliding of [false, true]) {
  sdk(`shows orders of events and receipts in ${isSliding ? "sliding sync" : "/sync"}`, async () => {
    await using proxied = await startProxiedSynapse();
    const { synapse, proxyUrl: url } = proxied;
    const [alice, bob] = [await synapse.register("alice"), await synapse.register("bob")];
    const ask = (token: string, method: string, path: string, body: unknown) =>
      matrix(url, token, method, `/_matrix/client/v3${path}`, body);
    const { room_id: room } = await ask(alice.token, "POST", "/createRoom", { preset: "public_chat" });
    await ask(bob.token, "POST", `/join/${enc(room)}`, {});
    let transactions = 0;
    const say = async (body: string, thread?: string): Promise<string> => {
      const relation = thread === undefined ? {} : { "m.relates_to": { rel_type: "m.thread", event_id: thread } };
      const path = `/rooms/${enc(room)}/send/m.room.message/t${transactions++}`;
      return (await ask(alice.token, "PUT", path, { msgtype: "m.text", body, ...relation })).event_id;
    };
    const first = await say("before the client is there");
    await using bobs = await startSdk({ url, ...bob }, { device: bob.device, isSliding });
    await using alices = await startSdk({ url, ...alice }, { device: alice.device, isSliding });

    const orders = [await orderOf(bobs, room, first)];
    const events = [first];
    for (let n = 0; n < MESSAGES; n++) {
      const event = await say(`live ${n}`, n % 4 === 3 ? first : undefined);
      events.push(event);
      orders.push(await orderOf(bobs, room, event));
    }
    assert.equal(
      orders,
      orders.map((_, n) => orders[0]! + n),
    );
    const own = (await bobs.sdk.sendTextMessage(room, "from the client itself")).event_id;
    assert.is(await orderOf(alices, room, own), orders[0]! + orders.length);

    const inAlice = await alices.room(room);
    const inBob = await bobs.room(room);
    const receiptOf = (thread?: string) =>
      (thread === undefined ? inAlice : inAlice.getThread(thread))?.getReadReceiptForUserId(bob.user, true);
    const main = events.at(-2)!;
    assert.ok(await bobs.sdk.sendReadReceipt(inBob.findEventById(main)!, ReceiptType.Read));
    await eventually(() => receiptOf()?.eventId === main, "Alice sees the receipt");
    assert.is((receiptOf()!.data as { order?: number }).order, orders.at(-2));
    const inThread = events[4]!;
    await eventually(() => inBob.findEventById(inThread), "the thread is loaded");
    assert.ok(await bobs.sdk.sendReadReceipt(inBob.findEventById(inThread)!, ReceiptType.Read));
    await eventually(() => receiptOf(first)?.eventId === inThread, "Alice sees the receipt in the thread");
    assert.is((receiptOf(first)!.data as { order?: number }).order, orders[4]);
  });
}

sdk.run();
