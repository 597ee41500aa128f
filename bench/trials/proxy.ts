/**
 * What the proxy costs, in front of a homeserver that answers at once: added to requests, in bytes that are streamed, and for clients
 * that wait. The proxy is a process of its own, and so are the homeserver, and the other roles.
 */
import { Agent, request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { startBroker } from "../../src/bus/broker/process.ts";
import { connect } from "../../src/frontend/index.ts";
import { startNode, startTidemark } from "../node-process.ts";
import { type BothWays, compared, timed } from "../proxy/alternating.ts";
import { eventOf, PAGE, ROOMS, roomOf } from "../proxy/scripted-rooms.ts";
import { residentMemory } from "../resident-memory.ts";
import type { Measured, Trial } from "../trial.ts";

const SIZES = {
  full: { pairs: 2_000, transfers: 5, polls: 1_000, settleMs: 5_000 },
  quick: { pairs: 400, transfers: 2, polls: 1_000, settleMs: 2_000 },
} as const;
const SCRIPT = fileURLToPath(new URL("../proxy/scripted-homeserver.ts", import.meta.url));
const WAIT_MS = 50;
const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;
const room = enc(roomOf(0));

export const proxy: Trial = {
  id: "proxy",
  measure: async ({ dir, built, profile, scale }) => {
    const { pairs, transfers, polls, settleMs } = SIZES[scale];
    await using homeserver = await startNode(["--import", "tsx", SCRIPT]);
    const broker = await startBroker({ storeDir: join(dir, "nats") });
    await using _stopped = { [Symbol.asyncDispose]: () => broker.stop() };
    const start = (name: string, ...args: string[]) =>
      startTidemark({ url: broker.url, data: join(dir, name), built, profile, args });
    await using _worker = await start("worker", "--roles", "ingress,worker");
    const clients = ["--connections-per-address", `${polls * 2}`];
    await using running = await start("proxy", "--roles", "proxy", "--homeserver", homeserver.line, ...clients);
    const bus = await connect({ nats: broker.url });
    await using _bus = bus;
    for (let n = 0; n < ROOMS; n++) {
      await bus.events.send(
        roomOf(n),
        Array.from({ length: PAGE }, (_, event) => eventOf(n, event)),
      );
    }
    const both = { direct: homeserver.line, proxied: /http=(\S+)/.exec(running.line)![1]!, token: "a-token" };
    const get = (path: string) => () => ({ method: "GET", path: V3 + path }) as const;
    const receipt = (n: number) =>
      ({
        method: "POST",
        path: `${V3}/rooms/${room}/receipt/m.read/${enc(eventOf(0, n % PAGE).event_id)}`,
        body: "{}",
      }) as const;
    const added = { pairs, as: "added" } as const;
    // First, while nothing of what comes later is garbage that goes meanwhile.
    const idle = await idlePolls(both, running.pid, { polls, settleMs });
    return [
      idle,
      ...(await compared(both, {
        id: "proxy_sync",
        title: "/sync without news",
        asked: get("/sync?since=s1&timeout=0"),
        ...added,
      })),
      ...(await compared(both, { id: "proxy_first", title: "first /sync of 20 rooms", asked: get("/sync"), ...added })),
      ...(await compared(both, {
        id: "proxy_messages",
        title: "/messages of 100",
        asked: get(`/rooms/${room}/messages?dir=b&limit=100`),
        ...added,
      })),
      ...(await compared(both, { id: "proxy_receipt", title: "a receipt", asked: receipt, ...added })),
      await throughput(both, transfers),
    ];
  },
};

async function throughput({ direct, proxied, token }: BothWays, transfers: number): Promise<Measured> {
  const asked = { method: "GET", path: "/_matrix/media/v3/download/a/b" } as const;
  const values: number[] = [];
  for (let n = 0; n < transfers; n++) {
    const [alone, through] = [await timed(direct, token, asked), await timed(proxied, token, asked)];
    values.push(alone.ms / through.ms);
  }
  return { id: "proxy_stream", title: "streamed bytes: through the proxy : direct", unit: "×", values };
}

interface Polls {
  readonly polls: number;
  readonly settleMs: number;
}

async function idlePolls({ direct, proxied }: BothWays, pid: number, { polls, settleMs }: Polls): Promise<Measured> {
  await delay(settleMs);
  const before = await residentMemory(pid);
  const agent = new Agent({ keepAlive: true });
  for (let n = 0; n < polls; n++) {
    const headers = { authorization: `Bearer token-${n}` };
    const poll = request(`${proxied}${V3}/sync?since=s1&timeout=120000`, { agent, headers });
    poll.on("error", () => {}).end();
  }
  while (Number(await (await fetch(`${direct}/waiting`)).text()) < polls) await delay(WAIT_MS);
  await delay(settleMs);
  const after = await residentMemory(pid);
  agent.destroy();
  const title = `${polls.toLocaleString("en")} idle long polls through the proxy: resident memory`;
  return { id: "proxy_polls", title, unit: "MiB", values: [after.RssAnon - before.RssAnon] };
}
