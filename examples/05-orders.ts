/**
 * A client that shows the orders of events and receipts, which a homeserver's `/sync` has behind Tidemark's proxy:
 *
 *     node --import tsx examples/05-orders.ts http://127.0.0.1:8009 alice wonderland
 *
 * It logs in, or registers. Somebody without a room makes one, says hello in it, and reads that. Then it shows what comes.
 */
interface Event {
  readonly event_id: string;
  readonly type: string;
  readonly content: { readonly body?: string };
  readonly unsigned?: { readonly order?: number };
}

/** By event, type of receipt, and user. */
type Receipts = Record<string, Record<string, Record<string, { readonly order?: number }>>>;

interface SyncedRoom {
  readonly state: { readonly events: readonly Event[] };
  readonly timeline: { readonly events: readonly Event[] };
  readonly ephemeral: { readonly events: readonly { readonly type: string; readonly content: Receipts }[] };
}

interface Answer {
  readonly access_token: string;
  readonly room_id: string;
  readonly event_id: string;
  readonly next_batch: string;
  readonly rooms?: { readonly join?: Readonly<Record<string, SyncedRoom>> };
}

const [url = "http://127.0.0.1:8009", user = "alice", password = "wonderland"] = process.argv.slice(2);
let token: string | undefined;

async function call(method: string, path: string, body?: object): Promise<Answer | undefined> {
  const response = await fetch(`${url}/_matrix/client/v3/${path}`, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return response.ok ? ((await response.json()) as Answer) : undefined;
}

async function ask(method: string, path: string, body?: object): Promise<Answer> {
  const answer = await call(method, path, body);
  if (answer === undefined) throw new Error(`${url} refused ${method} ${path}`);
  return answer;
}

function show({ state, timeline, ephemeral }: SyncedRoom): void {
  for (const { type, content, unsigned } of [...state.events, ...timeline.events]) {
    print(unsigned?.order, type, ...(content.body === undefined ? [] : [content.body]));
  }
  for (const { type, content } of ephemeral.events) {
    if (type !== "m.receipt") continue;
    for (const types of Object.values(content)) {
      for (const [name, users] of Object.entries(types)) {
        for (const [reader, { order }] of Object.entries(users)) print(order, name, reader);
      }
    }
  }
}

function print(order: number | undefined, ...what: string[]): void {
  process.stdout.write(`${order ?? "no order"} ${what.join(" ")}\n`);
}

const login = { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
const newUser = { username: user, password, auth: { type: "m.login.dummy" } };
token = ((await call("POST", "login", login)) ?? (await ask("POST", "register", newUser))).access_token;
const first = await ask("GET", "sync");
if (first.rooms?.join === undefined) {
  const room = encodeURIComponent((await ask("POST", "createRoom", {})).room_id);
  const hello = await ask("PUT", `rooms/${room}/send/m.room.message/1`, { msgtype: "m.text", body: "hello" });
  await ask("POST", `rooms/${room}/receipt/m.read/${encodeURIComponent(hello.event_id)}`, {});
}
for (let answer = first; ; answer = await ask("GET", `sync?timeout=30000&since=${answer.next_batch}`)) {
  for (const room of Object.values(answer.rooms?.join ?? {})) show(room);
}
