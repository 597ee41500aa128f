/** Answers that a live Synapse 1.160 gave (`test/fixtures/synapse-answers`), served again behind the proxy. */
import { createServer, type RequestListener } from "node:http";
import { gzipSync } from "node:zlib";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { FindOrders } from "../../src/proxy/annotation.ts";
import { type Role, start } from "../../src/start.ts";
import { BASE, type Body, eventually, servedOn, startBus } from "../support/harness.ts";
import { HS_TOKEN, REGISTRATION } from "../support/pushing-homeserver.ts";
import { type RecordedAnswers, recordedAnswers } from "../support/recorded-answers.ts";
import { listening, startProxied } from "../support/scripted-homeserver.ts";
import { shownIn, withoutOrders } from "../support/shown-orders.ts";

const ROOM_VERSIONS = ["1", "12"];
const PIECE_BYTES = 997;
const WITHOUT_EVENTS = new Set(["state content", "account data", "unknown event", "forbidden"]);

type Recorded = RecordedAnswers["answers"][number];

const recordings = await Promise.all(ROOM_VERSIONS.map(recordedAnswers));

/** Answers each request as Synapse did. `send` writes the body. */
function replayed(
  { answers }: RecordedAnswers,
  send: (response: Parameters<RequestListener>[1], text: string) => void,
): RequestListener {
  return ({ method, url }, response) => {
    const answer = answers.find((each) => each.method === method && each.path === url);
    response.statusCode = answer?.status ?? 200;
    response.setHeader("content-type", "application/json");
    send(response, answer?.text ?? "{}");
  };
}

async function ask(url: string, { method, path }: Pick<Recorded, "method" | "path">) {
  const response = await fetch(url + path, { method, ...(method === "POST" && { body: "{}" }) });
  return { status: response.status, text: await response.text() };
}

/** The answers have the order of each event, and no other byte has changed. */
async function assertAnnotated(url: string, { orders, answers, roomVersion }: RecordedAnswers): Promise<void> {
  for (const recorded of answers) {
    const name = `${recorded.kind}, room version ${roomVersion}`;
    const { status, text } = await ask(url, recorded);
    assert.is(status, recorded.status, name);
    assert.is(withoutOrders(text), recorded.text, name);
    const shown = shownIn(JSON.parse(text));
    assert.is(shown.length > 0, !WITHOUT_EVENTS.has(recorded.kind), name);
    for (const { event, orders: found } of shown) {
      assert.type(orders[event], "number", name);
      assert.equal(found, [orders[event], orders[event]], `${name}: ${event}`);
    }
  }
}

const asRecorded =
  ({ orders }: RecordedAnswers): FindOrders =>
  async () =>
  (_, event) =>
    orders[event];

const answers = suite("recorded answers of Synapse");

for (const recording of recordings) {
  const title = `of a room of version ${recording.roomVersion}`;

  answers(`${title} get the order of each event, and stay the same otherwise`, async () => {
    const listener = replayed(recording, (response, text) => void response.end(text));
    await using proxy = await startProxied(listener, { findOrders: asRecorded(recording) });
    await assertAnnotated(proxy.url, recording);
  });

  answers(`${title} get them when they come compressed, and in pieces`, async () => {
    const listener = replayed(recording, (response, text) => {
      const body = gzipSync(text);
      response.setHeader("content-encoding", "gzip");
      const sendFrom = (at: number) => {
        if (at >= body.length) return void response.end();
        response.write(body.subarray(at, at + PIECE_BYTES), () => sendFrom(at + PIECE_BYTES));
      };
      sendFrom(0);
    });
    await using proxy = await startProxied(listener, { findOrders: asRecorded(recording) });
    await assertAnnotated(proxy.url, recording);
  });

  answers(`${title} pass as they came while Tidemark knows no order`, async () => {
    const listener = replayed(recording, (response, text) => void response.end(text));
    await using proxy = await startProxied(listener);
    for (const recorded of recording.answers) {
      assert.equal(await ask(proxy.url, recorded), { status: recorded.status, text: recorded.text });
    }
  });

  answers(`${title} are errors when the homeserver breaks off in their middle`, async () => {
    const listener = replayed(recording, (response, text) => {
      response.setHeader("content-length", Buffer.byteLength(text));
      response.write(text.slice(0, text.length / 2), () => response.destroy());
    });
    await using proxy = await startProxied(listener, { findOrders: asRecorded(recording) });
    for (const recorded of recording.answers) {
      // What is streamed is broken off too. Of what is held, nothing was sent yet.
      const outcome = await ask(proxy.url, recorded).then(
        ({ status }) => status,
        () => "broken off",
      );
      assert.is(outcome, WITHOUT_EVENTS.has(recorded.kind) ? "broken off" : 502, recorded.kind);
    }
  });

  answers(`${title} wait for the pushes of their events`, async () => {
    const of = (kind: string) => recording.answers.find((each) => each.kind === kind)!;
    const events: Body[] = JSON.parse(of("messages backwards").text).chunk.reverse();
    const live = JSON.parse(of("sync").text).rooms.join;
    const [[room, { timeline }]] = Object.entries<Body>(live).filter(([id]) => id === events[0].room_id) as [
      [string, Body],
    ];
    const before = events.length - timeline.events.length;
    await using bus = await startBus();
    const asked: string[] = [];
    await using homeserver = await listening(
      createServer((request, response) => {
        if (request.url!.includes("/sync?")) asked.push(request.url!);
        replayed(recording, (_, text) => void response.end(text))(request, response);
      }),
    );
    const tidemark = await start({
      ...servedOn(bus),
      roles: new Set<Role>(["ingress", "worker", "proxy"]),
      homeserver: homeserver.url,
      registration: REGISTRATION,
      log: pino({ level: "silent" }),
    });
    const push = (id: number, pushed: readonly Body[]) =>
      fetch(`${tidemark.httpUrl}/_matrix/app/v1/transactions/${id}`, {
        method: "PUT",
        headers: { authorization: `Bearer ${HS_TOKEN}` },
        body: JSON.stringify({ events: pushed }),
      });
    assert.is((await push(1, events.slice(0, before))).status, 200);
    const answer = ask(tidemark.httpUrl, of("sync"));
    await eventually(() => asked.length === 1, "the homeserver has answered");
    assert.is((await push(2, events.slice(before))).status, 200);
    const synced = JSON.parse((await answer).text).rooms.join[room];
    assert.equal(
      synced.timeline.events.map(({ event_id: id, unsigned }: Body) => [id, unsigned.order]),
      events.slice(before).map(({ event_id: id }, n) => [id, BASE + 1 + before + n]),
    );
    for (const { orders: found } of shownIn(synced)) assert.type(found[0], "number");
    await tidemark.stop();
  });
}

answers.run();
