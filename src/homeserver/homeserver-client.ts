/** The client-server API of a homeserver, as far as importing a room needs it. */
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { reasonOf, TidemarkError } from "../errors.ts";
import {
  HOMESERVER_ATTEMPTS_MAX,
  HOMESERVER_PAGE_EVENTS,
  HOMESERVER_RETRY_MS_MAX,
  HOMESERVER_RETRY_MS_MIN,
  HOMESERVER_TIMEOUT_MS,
} from "../limits.ts";
import type { EventId, RoomId } from "../matrix/ids.ts";

interface HomeserverOptions {
  readonly url: string;
  readonly token: string;
  /** With the token of an application service: the user as whom it asks. */
  readonly user?: string;
  /** Told before a pause of so many ms, and why there is one. */
  readonly onPause?: (pauseMs: number, why: string) => void;
}

const state = z.array(z.unknown());
const context = z.object({ start: z.string() });
const page = z.object({ chunk: z.array(z.unknown()), end: z.string().optional() });

/** Events of a room from newer to older, and where it goes on; without `end` there are no more. */
export type Page = z.infer<typeof page>;

const failure = z.object({
  errcode: z.string().catch(""),
  error: z.string().catch(""),
  retry_after_ms: z.number().min(0).optional().catch(undefined),
});

export class Homeserver {
  readonly #options: HomeserverOptions;

  constructor(options: HomeserverOptions) {
    this.#options = options;
  }

  /** The room's current state events. */
  state(room: RoomId): Promise<unknown[]> {
    return this.#get(state, `rooms/${encodeURIComponent(room)}/state`);
  }

  /** From where one reads backwards what came before an event. */
  async before(room: RoomId, event: EventId): Promise<string> {
    const path = `rooms/${encodeURIComponent(room)}/context/${encodeURIComponent(event)}`;
    return (await this.#get(context, path, { limit: "0" })).start;
  }

  /** Backwards from a place, or from the newest event. */
  messages(room: RoomId, from: string | undefined): Promise<Page> {
    return this.#get(page, `rooms/${encodeURIComponent(room)}/messages`, {
      dir: "b",
      limit: String(HOMESERVER_PAGE_EVENTS),
      ...(from !== undefined && { from }),
    });
  }

  /** Asks until there is an answer. Throws `HOMESERVER_REFUSED` when it is a refusal, or none comes. */
  async #get<T>(schema: z.ZodType<T>, path: string, query: Record<string, string> = {}): Promise<T> {
    const { url, token, user } = this.#options;
    const search = new URLSearchParams({ ...query, ...(user !== undefined && { user_id: user }) });
    const target = `${url.replace(/\/$/, "")}/_matrix/client/v3/${path}?${search}`;
    for (let failures = 0, pauseMs = HOMESERVER_RETRY_MS_MIN; ; ) {
      const { answer, retryMs, why } = await this.#attempt(target, token);
      if (why === undefined) {
        const parsed = schema.safeParse(answer);
        if (parsed.success) return parsed.data;
        throw new TidemarkError("HOMESERVER_REFUSED", `GET ${path}: the answer is none of Matrix's`);
      }
      if (retryMs !== undefined) {
        await this.#pause(retryMs, why); // being told to wait is no failure, however often
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

  async #pause(ms: number, why: string): Promise<void> {
    this.#options.onPause?.(ms, why);
    await delay(ms);
  }

  /** The answer, or why to ask again. */
  async #attempt(url: string, token: string): Promise<{ answer?: unknown; retryMs?: number; why?: string }> {
    let response: Response;
    let body: unknown;
    try {
      response = await fetch(url, {
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(HOMESERVER_TIMEOUT_MS),
      });
      body = await response.json().catch(() => undefined);
    } catch (error) {
      const { cause } = error as { readonly cause?: unknown };
      return { why: reasonOf(cause ?? error) };
    }
    if (response.ok) return { answer: body };

    const { errcode, error, retry_after_ms: inBody } = failure.catch({ errcode: "", error: "" }).parse(body);
    const why = [response.status, errcode, error].filter((part) => part !== "").join(" ");
    if (response.status === 429) return { why, ...retryOf(inBody, response.headers.get("retry-after")) };
    if (response.status >= 500) return { why };
    throw new TidemarkError("HOMESERVER_REFUSED", `GET ${new URL(url).pathname}: ${why}`);
  }
}

/** How long a rate limit asks to wait: in the body (ms), and since v1.10 in the header (s). */
function retryOf(inBody: number | undefined, header: string | null): { retryMs?: number } {
  if (inBody !== undefined) return { retryMs: inBody };
  const seconds = Number(header);
  return header !== null && Number.isFinite(seconds) && seconds >= 0 ? { retryMs: seconds * 1_000 } : {};
}
