/** A Tidemark with local server names, on a broker of its own, for tests of federation and homeservers. */
import { pino } from "pino";
import { serverName } from "../../src/matrix/ids.ts";
import { ROLES, type Role, type StartOptions, start, type Tidemark } from "../../src/start.ts";
import { type Body, type BusHarness, metricsOf, servedOn, startBus } from "./harness.ts";

export const OWN = "here.example";

interface FederationHarness extends BusHarness {
  readonly httpUrl: string;
  /** Resolves to the metrics of the process. */
  metrics(): Promise<string>;
  restart(): Promise<void>;
  /** Starts another process on the same broker. */
  another(options?: Partial<StartOptions>): Promise<Tidemark & AsyncDisposable>;
}

export async function startFederation(options: Partial<StartOptions> = {}): Promise<FederationHarness> {
  const bus = await startBus();
  const launch = (more: Partial<StartOptions> = {}) =>
    start({
      ...servedOn(bus),
      metrics: { host: "127.0.0.1", port: 0 },
      roles: new Set<Role>(ROLES),
      log: pino({ level: "silent" }),
      ...options,
      ...more,
      federation: { serverNames: [serverName.parse(OWN)], ...options.federation, ...more.federation },
    });
  let tidemark = await launch();
  return {
    ...bus,
    get httpUrl() {
      return tidemark.httpUrl;
    },
    metrics: () => metricsOf(tidemark),
    restart: async () => {
      await tidemark.stop();
      tidemark = await launch();
    },
    another: async (more) => {
      const other = await launch(more);
      return { ...other, [Symbol.asyncDispose]: () => other.stop() };
    },
    [Symbol.asyncDispose]: async () => {
      await tidemark.stop();
      await bus[Symbol.asyncDispose]();
    },
  };
}

export const member = (user: string, membership = "join", id = `$${membership}-${user}`) => ({
  event_id: id,
  type: "m.room.member",
  state_key: user,
  sender: user,
  origin_server_ts: 1,
  content: { membership },
});

export const message = (id: string, sender = "@sender:here.example", thread?: string) => ({
  event_id: id,
  type: "m.room.message",
  sender,
  origin_server_ts: 1,
  content: thread === undefined ? { body: id } : { "m.relates_to": { rel_type: "m.thread", event_id: thread } },
});

export const read = (user: string, event: string, extra: Record<string, unknown> = {}) => ({
  user_id: user,
  receipt_type: "m.read",
  event_id: event,
  ts: 1,
  ...extra,
});

/** The receipts of EDUs as lines: `room user thread → event`. */
export function linesOf(edus: Iterable<Body>): string[] {
  const lines: string[] = [];
  for (const { content } of edus) {
    for (const [room, types] of Object.entries<Body>(content)) {
      for (const [user, { event_ids, data }] of Object.entries<Body>(types["m.read"])) {
        lines.push(`${room} ${user} ${data.thread_id ?? "-"} → ${event_ids.join()}`);
      }
    }
  }
  return lines;
}
