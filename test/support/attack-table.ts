/**
 * Every verb of JetStream, asked of every stream under every name that an account has for an API, as each outsider: a table from which
 * the cases are made. What is answered without an error is done; only what `MAY` names may be.
 */
import type { NatsConnection } from "nats";
import * as assert from "uvu/assert";
import { LIMIT_MS } from "./harness.ts";

/** The names of an account's own API, and of those that accounts import. */
const APIS = ["$JS.API", "TIDEMARK.JS.API", "EDGE.JS.API", "FEDERATION.JS.API"];

const STREAMS = [
  "TIDEMARK_LOG_0",
  "TIDEMARK_DELTAS_0",
  "TIDEMARK_FEDERATION_0",
  "TIDEMARK_REJECTED",
  "KV_tidemark",
  "KV_tidemark_leases",
  "KV_tidemark_published",
  "KV_tidemark_archive",
  "KV_tidemark_keys",
  "KV_tidemark_transactions",
  "KV_tidemark_federation",
];

/** A consumer that is somebody else's, on each stream. */
export const THEIRS = "theirs";

interface Verb {
  /** After the name of the API. */
  readonly subject: string;
  readonly body?: unknown;
}

/** What can be asked of a stream, the harmless first. `MINE` is a new stream, which takes what this one has or repeats it elsewhere. */
function verbsOf(stream: string): Record<string, Verb> {
  const config = { name: "mine", ack_policy: "none", deliver_policy: "all", mem_storage: true };
  const create = { stream_name: stream, config };
  const mine = (more: object) => ({ subject: "STREAM.CREATE.MINE", body: { name: "MINE", ...more } });
  return {
    info: { subject: `STREAM.INFO.${stream}`, body: { subjects_filter: ">" } },
    "first message": { subject: `STREAM.MSG.GET.${stream}`, body: { seq: 1 } },
    "direct message": { subject: `DIRECT.GET.${stream}`, body: { seq: 1 } },
    "consumer names": { subject: `CONSUMER.NAMES.${stream}` },
    "consumer list": { subject: `CONSUMER.LIST.${stream}` },
    "their consumer's info": { subject: `CONSUMER.INFO.${stream}.${THEIRS}` },
    "their consumer's next": { subject: `CONSUMER.MSG.NEXT.${stream}.${THEIRS}`, body: { batch: 1, no_wait: true } },
    "a consumer": { subject: `CONSUMER.CREATE.${stream}.mine`, body: create },
    "an old consumer": {
      subject: `CONSUMER.CREATE.${stream}`,
      body: { ...create, config: { ...config, name: undefined } },
    },
    "a durable consumer": {
      subject: `CONSUMER.DURABLE.CREATE.${stream}.kept`,
      body: { stream_name: stream, config: { ...config, name: undefined, durable_name: "kept" } },
    },
    pause: { subject: `CONSUMER.PAUSE.${stream}.${THEIRS}`, body: { pause_until: "2100-01-01T00:00:00Z" } },
    "a mirror": mine({ mirror: { name: stream } }),
    "a source": mine({ sources: [{ name: stream }] }),
    "a republished stream": mine({ subjects: ["mine"], republish: { src: "mine", dest: "tidemark.log.0.x" } }),
    update: { subject: `STREAM.UPDATE.${stream}`, body: { name: stream, subjects: ["none"] } },
    "peer remove": { subject: `STREAM.PEER.REMOVE.${stream}`, body: { peer: "nats-1" } },
    "step down": { subject: `STREAM.LEADER.STEPDOWN.${stream}` },
    snapshot: { subject: `STREAM.SNAPSHOT.${stream}`, body: { deliver_subject: "mine", no_consumers: true } },
    restore: { subject: "STREAM.RESTORE.MINE", body: { config: { name: "MINE", subjects: ["mine"] }, state: {} } },
    "message delete": { subject: `STREAM.MSG.DELETE.${stream}`, body: { seq: 1 } },
    purge: { subject: `STREAM.PURGE.${stream}` },
    "their consumer's end": { subject: `CONSUMER.DELETE.${stream}.${THEIRS}` },
    delete: { subject: `STREAM.DELETE.${stream}` },
  };
}

/** What only an operator's own cluster, or a cluster of several servers, can show to work. */
const NEEDS_MORE = new Set(["peer remove", "step down"]);

/** Of the system account, which is asked by the same name in every account. */
const SYSTEM = [
  "$SYS.REQ.SERVER.PING",
  "$SYS.REQ.SERVER.PING.JSZ",
  "$SYS.REQ.ACCOUNT.TIDEMARK.CONNZ",
  "$SYS.REQ.USER.INFO",
];

const READS_DELTAS = ["info", "first message", "their consumer's info", "their consumer's next", "a consumer"];
const READS_ROW = ["info", "first message"];

/** By user, API and stream: the verbs that it has for its own work, in its own account. Names of consumers can't be guessed. */
const MAY: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  frontend: {
    TIDEMARK_DELTAS_0: READS_DELTAS,
    KV_tidemark: READS_ROW,
    KV_tidemark_keys: ["info"],
    KV_tidemark_transactions: ["info"],
  },
  gateway: {
    TIDEMARK_DELTAS_0: READS_DELTAS,
    KV_tidemark: READS_ROW,
    KV_tidemark_keys: READS_ROW,
    KV_tidemark_transactions: READS_ROW,
  },
  federation: {
    TIDEMARK_FEDERATION_0: ["info", "first message", "their consumer's info", "their consumer's next"],
    KV_tidemark: ["first message"],
    KV_tidemark_federation: READS_ROW,
  },
};

/** A consumer's messages come on their own subjects: only a subscription of its own knows which request they answer. */
const ALONE = { timeout: LIMIT_MS, noMux: true };

/** Whether a request is answered, and not with an error. A user without the right, or a subject of nobody, gets no answer. */
async function isDone(nc: NatsConnection, subject: string, body: unknown): Promise<boolean> {
  const bytes = body === undefined ? "" : JSON.stringify(body);
  try {
    const { data, headers } = await nc.request(subject, bytes, ALONE);
    if (headers?.hasError) return headers.code === 404 && subject.includes(".MSG.NEXT.");
    return data.length === 0 || !("error" in (JSON.parse(Buffer.from(data).toString("latin1")) as object));
  } catch (error) {
    const { code } = error as { code?: string };
    assert.ok(code === "PERMISSIONS_VIOLATION" || code === "503", `${subject}: ${String(error)}`);
    return false;
  }
}

/** Asserts that the user can do nothing but what its work needs. Returns how many cases were tried. */
export async function assertDoesNoMore(nc: NatsConnection, user: string): Promise<number> {
  let cases = 0;
  const done: string[] = [];
  const attempt = async (name: string, subject: string, body?: unknown) => {
    cases++;
    if (await isDone(nc, subject, body)) done.push(name);
  };
  for (const api of APIS) {
    for (const stream of STREAMS) {
      const allowed = api === "$JS.API" ? (MAY[user]?.[stream] ?? []) : [];
      const tried = Object.entries(verbsOf(stream)).filter(([name]) => !allowed.includes(name));
      await Promise.all(
        tried.map(([name, { subject, body }]) => attempt(`${api} ${stream} ${name}`, `${api}.${subject}`, body)),
      );
    }
  }
  for (const subject of SYSTEM) await attempt(subject, subject);
  assert.equal(done, [], `what ${user} can do`);
  return cases;
}

/** Asserts that each verb is done for one who may: the table would otherwise prove nothing. */
export async function assertVerbsWork(admin: NatsConnection, system: NatsConnection): Promise<void> {
  const jsm = await admin.jetstreamManager();
  for (const [name, { subject, body }] of Object.entries(verbsOf("SCRATCH"))) {
    if (NEEDS_MORE.has(name)) continue;
    await jsm.streams.add({ name: "SCRATCH", subjects: ["scratch"], allow_direct: true });
    await jsm.consumers.add("SCRATCH", { durable_name: THEIRS });
    await admin.request("scratch", "x", { timeout: LIMIT_MS });
    const isReply = name !== "direct message" && name !== "their consumer's next";
    const bytes = body === undefined ? "" : JSON.stringify(body);
    const { data } = await admin.request(`$JS.API.${subject}`, bytes, ALONE).catch((cause: unknown) => {
      throw new Error(`${name}: ${String(cause)}`, { cause });
    });
    if (isReply) assert.not("error" in JSON.parse(Buffer.from(data).toString()), `${name}: ${Buffer.from(data)}`);
    else assert.is(Buffer.from(data).toString(), "x", name);
    for (const stream of ["SCRATCH", "MINE"]) await jsm.streams.delete(stream).catch(() => {});
  }
  for (const subject of SYSTEM) assert.ok(await isDone(system, subject, undefined), subject);
}
