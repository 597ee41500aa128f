/** A client of the client-server API of a homeserver, with the requests that the import of rooms needs. */
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import { inSlices, type Steps } from "../in-slices.ts";
import { isRoomId } from "../matrix/id-grammar.ts";
import { type EventId, type RoomId, type UserId, userId } from "../matrix/ids.ts";
import { JsonText } from "./json-text.ts";

/** Bytes of one response. A room's whole state comes in one: with 100,000 members about 60 MiB. */
const HOMESERVER_ANSWER_BYTES_MAX = 134_217_728;

/** Requests to a homeserver: events per page, time to answer, attempts, and the pauses between them. */
const HOMESERVER_PAGE_EVENTS = 250;
const HOMESERVER_TIMEOUT_MS = 60_000;
const HOMESERVER_ATTEMPTS_MAX = 8;
const HOMESERVER_RETRY_MS_MIN = 500;
const HOMESERVER_RETRY_MS_MAX = 30_000;
/** However long the homeserver asks to wait. Also, timers of Node end at once beyond 24 days. */
const HOMESERVER_PAUSE_MS_MAX = 3_600_000;

interface HomeserverClientOptions {
  readonly url: string;
  readonly token: string;
  /** The user on whose behalf the requests are sent. Requires the `as_token` of an application service. */
  readonly user?: string;
  /** Bytes of one response. Default: 128 MiB. */
  readonly answerBytesMax?: number;
  /** Called before each pause, with its length and the reason. */
  readonly onPause?: (pauseMs: number, reason: string) => void;
  /** Called before each request, which waits for it: a pace, for instance. */
  readonly beforeRequest?: () => Promise<void>;
  /** Ends everything that waits, with `HOMESERVER_REFUSED`. */
  readonly signal?: AbortSignal;
}

const state = z.array(z.unknown());
const context = z.object({ start: z.string().nullish() });
const page = z.object({ chunk: z.array(z.unknown()), end: z.string().nullish() });
const whoami = z.object({ user_id: userId });
const memberContent = z.object({ membership: z.string() });
const ignoredUsers = z.object({ ignored_users: z.record(z.string(), z.unknown()).catch({}) });
const joinedRooms = z.object({ joined_rooms: z.array(z.string()) });

/** Events of a room, newest first. `end` is the token of the next page; without it (or null), there are no older events. */
export type Page = z.infer<typeof page>;

const failure = z.object({
  errcode: z.string().catch(""),
  error: z.string().catch(""),
  retry_after_ms: z.number().min(0).optional().catch(undefined),
});

/** Reads the body of an answer; undefined if it is not JSON. */
type ReadBody = (body: Buffer) => unknown;

interface Asked {
  readonly query?: Record<string, string>;
  /** Default: parses it at once. */
  readonly read?: ReadBody;
}

/** A 404 or 403, and what it says. */
interface Missing {
  readonly status: number;
  readonly why: string;
}

interface Attempt {
  readonly answer?: unknown;
  readonly missing?: Missing;
  readonly retryMs?: number;
  readonly why?: string;
}

export class HomeserverClient {
  readonly #options: HomeserverClientOptions;
  /** The homeserver's clock at its last answer, Unix time in ms; NaN if it doesn't tell. */
  #date = Number.NaN;

  constructor(options: HomeserverClientOptions) {
    this.#options = options;
  }

  /** Returns the user on whose behalf the requests are sent. */
  async user(): Promise<UserId> {
    return (await this.#get(whoami, "account/whoami")).user_id;
  }

  /** Returns the homeserver's clock, Unix time in ms, rounded down to a second; this process's if it doesn't tell. */
  async clock(): Promise<number> {
    await this.user();
    return Number.isNaN(this.#date) ? Date.now() : this.#date;
  }

  /** Returns the rooms to which the user is joined; none if the homeserver doesn't let us act as the user. */
  async joinedRooms(): Promise<RoomId[]> {
    const found = await this.#find(joinedRooms, "joined_rooms");
    return (found?.joined_rooms ?? []).filter((id): id is RoomId => isRoomId(id));
  }

  /** Returns whom the user ignores; undefined if the homeserver doesn't let us act as the user. */
  async ignoredUsers(user: UserId): Promise<readonly string[] | undefined> {
    const path = `user/${encodeURIComponent(user)}/account_data/m.ignored_user_list`;
    const answer = await this.#answerOf(ignoredUsers, path, {});
    if ("found" in answer) return Object.keys(answer.found.ignored_users);
    return answer.missing.status === 404 ? [] : undefined;
  }

  /** Returns the membership of a user in the room; undefined if the user never had one. */
  async membership(room: RoomId, user: UserId): Promise<string | undefined> {
    const path = `rooms/${encodeURIComponent(room)}/state/m.room.member/${encodeURIComponent(user)}`;
    return (await this.#find(memberContent, path))?.membership;
  }

  /**
   * Returns the current state event of a key, or its content if the homeserver can't give the event; undefined if there is none.
   * Throws if the user may not see it.
   */
  async stateEvent(room: RoomId, type: string, key: string): Promise<unknown> {
    const path = `rooms/${encodeURIComponent(room)}/state/${encodeURIComponent(type)}/${encodeURIComponent(key)}`;
    const answer = await this.#answerOf(z.unknown(), path, { query: { format: "event" } });
    if ("found" in answer) return answer.found;
    if (answer.missing.status === 404) return undefined;
    throw new TidemarkError("HOMESERVER_REFUSED", `GET ${path}: ${answer.missing.why}`);
  }

  /** Returns the current state events of the room. If the user has left it, they are those of that time. */
  state(room: RoomId): Promise<unknown[]> {
    return this.#get(state, `rooms/${encodeURIComponent(room)}/state`, { read: itemsIn });
  }

  /** Returns the token of the page that ends just before an event; undefined if the homeserver doesn't have the event (any more), or doesn't show it. */
  async tokenBefore(room: RoomId, event: EventId): Promise<string | undefined> {
    const path = `rooms/${encodeURIComponent(room)}/context/${encodeURIComponent(event)}`;
    return (await this.#find(context, path, { query: { limit: "0" } }))?.start || undefined;
  }

  /** Returns the page before a token, or before the end of the room. */
  messages(room: RoomId, from: string | undefined): Promise<Page> {
    const query = { dir: "b", limit: String(HOMESERVER_PAGE_EVENTS), ...(from !== undefined && { from }) };
    return this.#get(page, `rooms/${encodeURIComponent(room)}/messages`, { query });
  }

  async #get<T>(schema: z.ZodType<T>, path: string, asked: Asked = {}): Promise<T> {
    const answer = await this.#answerOf(schema, path, asked);
    if ("found" in answer) return answer.found;
    throw new TidemarkError("HOMESERVER_REFUSED", `GET ${path}: ${answer.missing.why}`);
  }

  /** The same, but returns undefined on a 404 or 403. */
  async #find<T>(schema: z.ZodType<T>, path: string, asked: Asked = {}): Promise<T | undefined> {
    const answer = await this.#answerOf(schema, path, asked);
    return "found" in answer ? answer.found : undefined;
  }

  /**
   * Retries failed requests, with backoff. Throws `HOMESERVER_REFUSED` on other 4xx than 404 and 403, or when the last attempt fails.
   * `missing` is what those two say.
   */
  async #answerOf<T>(
    schema: z.ZodType<T>,
    path: string,
    { query, read = parsed }: Asked,
  ): Promise<{ readonly found: T } | { readonly missing: Missing }> {
    const { url, user, signal } = this.#options;
    const search = new URLSearchParams({ ...query, ...(user !== undefined && { user_id: user }) });
    const target = `${url.replace(/\/$/, "")}/_matrix/client/v3/${path}?${search}`;
    for (let failures = 0, pauseMs = HOMESERVER_RETRY_MS_MIN; ; ) {
      if (signal?.aborted) throw new TidemarkError("HOMESERVER_REFUSED", `GET ${path}: nobody waits for it any more`);
      const { answer, missing, retryMs, why } = await this.#attempt(target, read);
      if (missing !== undefined) return { missing };
      if (why === undefined) {
        const parsed = schema.safeParse(answer);
        if (parsed.success) return { found: parsed.data };
        throw new TidemarkError(
          "HOMESERVER_REFUSED",
          `GET ${path}: the response does not have the format of the Matrix specification`,
        );
      }
      if (retryMs !== undefined) {
        await this.#pause(Math.min(retryMs, HOMESERVER_PAUSE_MS_MAX), why); // a rate limit does not count as a failure
        continue;
      }
      failures++;
      if (failures === HOMESERVER_ATTEMPTS_MAX) {
        throw new TidemarkError("HOMESERVER_REFUSED", `GET ${path}: ${why}, ${failures} times`);
      }
      await this.#pause(pauseMs, why);
      pauseMs = Math.min(pauseMs * 2, HOMESERVER_RETRY_MS_MAX);
    }
  }

  async #pause(ms: number, reason: string): Promise<void> {
    const { onPause, signal } = this.#options;
    onPause?.(ms, reason);
    await delay(ms, undefined, signal && { signal }).catch(() => {});
  }

  /** Returns the response body, what a 404 or 403 says, or the reason for a retry. Throws if a retry cannot help. */
  async #attempt(url: string, read: ReadBody): Promise<Attempt> {
    const { token, beforeRequest, signal, answerBytesMax = HOMESERVER_ANSWER_BYTES_MAX } = this.#options;
    let response: Response;
    let body: unknown;
    try {
      await beforeRequest?.();
      const timeout = AbortSignal.timeout(HOMESERVER_TIMEOUT_MS);
      response = await fetch(url, {
        headers: { authorization: `Bearer ${token}` },
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
      this.#date = Date.parse(response.headers.get("date") ?? "");
      body = await read(await bytesOf(response, answerBytesMax));
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      const { cause } = error as { readonly cause?: unknown };
      return { why: reasonOf(cause ?? error) };
    }
    if (response.ok) return { answer: body };

    const { errcode, error, retry_after_ms: inBody } = failure.catch({ errcode: "", error: "" }).parse(body);
    const why = [response.status, errcode, error].filter((part) => part !== "").join(" ");
    if (response.status === 429) return { why, ...retryOf(inBody, response.headers.get("retry-after")) };
    if (response.status >= 500) return { why };
    if (response.status === 404 || response.status === 403) return { missing: { status: response.status, why } };
    throw new TidemarkError("HOMESERVER_REFUSED", `GET ${new URL(url).pathname}: ${why}`);
  }
}

/** Throws `HOMESERVER_REFUSED` beyond `bytesMax`, and reads no more of it. */
async function bytesOf(response: Response, bytesMax: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    parts.push(part);
    bytes += part.length;
    if (bytes <= bytesMax) continue;
    const { pathname } = new URL(response.url);
    throw new TidemarkError("HOMESERVER_REFUSED", `GET ${pathname}: the response has more than ${bytesMax} bytes`);
  }
  return Buffer.concat(parts);
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

/** The items of a JSON array, read in slices: a room's state may have a hundred thousand. An object is parsed as a whole. */
async function itemsIn(body: Buffer): Promise<unknown> {
  const text = new JsonText(body);
  const items: unknown[] = [];
  function* read(): Steps<unknown> {
    const whole = yield* text.check();
    if (!text.isArray(whole)) return text.value(whole);
    yield* text.items(whole, function* (item) {
      yield;
      items.push(text.value(item));
    });
    return items;
  }
  try {
    return await inSlices(read());
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The delay that a rate limit asks for: in the body (ms), or since v1.10 of the specification in the header (s). */
function retryOf(inBody: number | undefined, header: string | null): { retryMs?: number } {
  if (inBody !== undefined) return { retryMs: inBody };
  const seconds = Number(header);
  return header !== null && Number.isFinite(seconds) && seconds >= 0 ? { retryMs: seconds * 1_000 } : {};
}
