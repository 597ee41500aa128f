/**
 * A history: load and readers on a cluster while faults are injected, and then the checker, which looks at everything from the
 * outside. After each fault, every partition must speak again, and may have been silent only for so long (`promises.ts`).
 */
import { setTimeout as delay } from "node:timers/promises";
import { within } from "../../src/within.ts";
import { decoded, pack, token } from "../support/harness.ts";
import { random } from "../support/random.ts";
import { type Beginning, type Connections, check, lastSequence, query } from "./checker.ts";
import { FAULTS } from "./faults.ts";
import { PARTITIONS, partitionIn, roomsOf, usersOf } from "./names.ts";
import { boundOf } from "./promises.ts";
import { ProxiedClients, type SeenOrder } from "./proxied-clients.ts";
import { Readers } from "./readers.ts";
import type { Silence } from "./silences.ts";
import type { Stage } from "./stage.ts";
import { measureStarvation } from "./starvation.ts";
import { SyncClients } from "./sync-clients.ts";
import type { TestedCluster } from "./tested-cluster.ts";
import { Voices } from "./voices.ts";
import { type Acknowledged, joinAll, startWorkload, type Workload } from "./workload.ts";

/** A partition that says nothing for so long after a fault is taken for one that never will. */
const ZOMBIE_MS = 180_000;
const POLL_MS = 50;

/** The effect of one fault. */
export interface Injected {
  readonly name: string;
  /** How long the fault itself lasted. */
  readonly faultMs: number;
  /** How long the machine was too busy, meanwhile and until the recovery. */
  readonly starvedMs: number;
  /** Time from its end until queries about every room are answered, and every partition has published something new that was read. */
  readonly recoveryMs: number;
  /** The longest silence of a partition from the start of the fault until then, on core subjects, and for a front-end. */
  readonly published: Silence;
  readonly read: Silence;
}

export interface HistoryResult {
  readonly injected: readonly Injected[];
  readonly written: number;
  readonly observed: number;
  /** How often readers loaded a snapshot because deltas were missing. */
  readonly reloads: number;
  /** Events that `/sync` told a client once more. */
  readonly repeats: number;
  /** Answers through the proxies, and those of them that lacked an order. */
  readonly proxied: number;
  readonly withoutOrders: number;
}

interface HistoryOptions {
  readonly number: number;
  readonly seed: number;
  readonly faults: readonly string[];
}

/** Of the rooms and users of a history. */
export const historyName = (number: number): string => `h${number}`;

/** Throws if a check fails. */
export async function runHistory(
  tested: TestedCluster,
  { number, seed, faults }: HistoryOptions,
): Promise<HistoryResult> {
  const { cluster, connections, homeserver } = tested;
  const next = random(seed);
  const rooms = roomsOf(historyName(number));
  const users = usersOf(historyName(number));
  const observed: SeenOrder[] = [];
  const injected: Injected[] = [];
  const beginnings = await beginningsOf(connections);
  await using voices = await Voices.listen(cluster, PARTITIONS);
  const stage: Stage = { ...tested, next, voices, withoutDeltas: new Set() };
  const before = await joinAll(connections, rooms, users);
  const onNew = (room: string, position: number) => voices.entered(partitionIn(room), position);
  const workload = startWorkload(connections, { rooms, users, next, before, onNew });
  const { acknowledged } = workload;
  homeserver.eventsOf = (room) => eventsOf(acknowledged, room);
  await using clients = new SyncClients(users, () => tested.gateways.flatMap(({ http }) => http ?? []));
  await using proxied = new ProxiedClients({
    rooms,
    proxies: () => tested.proxies.flatMap(({ http }) => http ?? []),
    seen: (order) => observed.push(order),
  });
  await using first = await Readers.start(cluster.url("frontend"), rooms, users);
  let watching = true;
  const watch = observe(connections, acknowledged, { observed, isOver: () => !watching, next });
  try {
    for (const name of faults) {
      await delay(300 + next() * 700);
      injected.push(await inject(stage, name, { rooms, workload }));
    }
    await delay(500);
  } finally {
    await within(ZOMBIE_MS, workload.stop());
    watching = false;
    await watch;
  }
  assertPromises(injected);
  if (!faults.some((name) => FAULTS[name]!.stopsProxies)) assertAnswered(proxied);
  await using late = await Readers.start(cluster.url("frontend"), rooms, users);
  await cluster.ready();
  await settled(connections, acknowledged);
  const readers = [first, late];
  const { withoutDeltas } = stage;
  await check({
    ...connections,
    beginnings,
    withoutDeltas,
    rooms,
    users,
    acknowledged,
    observed,
    readers,
    clients,
    proxied,
  });
  return {
    injected,
    written: acknowledged.length,
    observed: observed.length,
    reloads: first.reloads,
    repeats: clients.repeats,
    proxied: proxied.answers,
    withoutOrders: proxied.withoutOrders,
  };
}

interface Load {
  readonly rooms: readonly string[];
  readonly workload: Workload;
}

async function inject(stage: Stage, name: string, { rooms, workload }: Load): Promise<Injected> {
  const { voices, connections } = stage;
  const period = voices.begin();
  const starvation = measureStarvation();
  const begun = performance.now();
  await FAULTS[name]!.run(stage);
  const ended = performance.now();
  const dead = new AbortController();
  const recovered = async () => {
    await Promise.all(rooms.map((room) => query(connections, room, { op: "orders", event_ids: [] }, ZOMBIE_MS)));
    const probes = await workload.probe();
    while (!probes.every(({ partition, position }) => voices.has(partition, position))) {
      await delay(POLL_MS, undefined, { signal: dead.signal });
    }
  };
  try {
    await within(ZOMBIE_MS, recovered());
  } catch (cause) {
    const { published, read } = period.end();
    const silence = `silent on core subjects ${inWords(published)}, for front-ends ${inWords(read)}`;
    throw new Error(`after "${name}", a partition is dead: ${silence}`, { cause });
  } finally {
    dead.abort();
  }
  const recoveryMs = performance.now() - ended;
  return { name, faultMs: ended - begun, starvedMs: starvation.end(), recoveryMs, ...period.end() };
}

export const inWords = ({ partition, silentMs }: Silence): string =>
  partition === undefined ? "never" : `${(silentMs / 1_000).toFixed(1)} s (partition ${partition})`;

/** Asserts that no partition was silent for longer than the documentation allows. */
function assertPromises(injected: readonly Injected[]): void {
  for (const { name, faultMs, starvedMs, published, read } of injected) {
    const bound = boundOf(FAULTS[name]!.promise, faultMs, starvedMs);
    for (const [where, silence, ms] of [
      ["published nothing", published, bound.publishedMs],
      ["was not read", read, bound.readMs],
    ] as const) {
      if (silence.silentMs <= ms) continue;
      throw new Error(
        `"${name}", which took ${Math.round(faultMs)} ms: a partition ${where} for ${inWords(silence)}, not ${ms} ms`,
      );
    }
  }
}

/** Asserts that clients of proxies that ran all the time got every answer. */
function assertAnswered({ failures, answers }: ProxiedClients): void {
  if (failures.length > 0)
    throw new Error(`${failures.length} of ${answers} answers of a proxy failed`, { cause: failures[0] });
}

const beginningsOf = ({ admin }: Connections): Promise<Beginning[]> =>
  Promise.all(
    Array.from({ length: PARTITIONS }, async (_, partition) => ({
      log: await lastSequence(admin, `TIDEMARK_LOG_${partition}`),
      deltas: await lastSequence(admin, `TIDEMARK_DELTAS_${partition}`),
    })),
  );

function eventsOf(acknowledged: readonly Acknowledged[], of: string): string[] {
  return acknowledged.flatMap(({ room, what }) => (room === of && typeof what === "string" ? [what] : []));
}

/** Queries orders until the history is over. Requests without an answer are ignored. */
async function observe(
  { frontend }: Connections,
  acknowledged: readonly Acknowledged[],
  { observed, isOver, next }: { observed: SeenOrder[]; isOver: () => boolean; next: () => number },
): Promise<void> {
  while (!isOver()) {
    await delay(POLL_MS);
    const one = acknowledged[Math.floor(next() * acknowledged.length)];
    if (one === undefined || typeof one.what !== "string") continue;
    const request = frontend.request(
      `tidemark.query.${token(one.room)}`,
      pack({ op: "orders", event_ids: [one.what] }),
      { timeout: 1_000 },
    );
    const reply = await request.then(({ data }) => decoded(data)).catch(() => undefined);
    const order = reply?.ok ? reply.orders[one.what] : null;
    if (order !== null) observed.push([one.room, one.what, order]);
  }
}

/** Resolves when all acknowledged entries are folded. */
async function settled(connections: Connections, acknowledged: readonly Acknowledged[]): Promise<void> {
  const last = new Map<string, number>();
  for (const { room, position } of acknowledged) last.set(room, Math.max(last.get(room) ?? 0, position));
  for (const [room, position] of last) {
    while ((await query(connections, room, { op: "orders", event_ids: [] })).position < position) await delay(POLL_MS);
  }
}
