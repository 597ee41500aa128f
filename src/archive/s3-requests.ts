/**
 * Requests to an S3 server: signed (SigV4), bounded in time and in bytes, and repeated while that may help.
 *
 * Each attempt has a limit for all of it, so neither a server that doesn't answer nor one that sends a byte now and then is waited
 * for. Repeated are lost connections, answers that are cut off or that their reader doesn't take, and those that say that the server
 * is at fault or busy. Other refusals are told at once: a wrong key doesn't get better.
 *
 * Keys are in no message and in no log.
 */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { AwsV4Signer } from "aws4fetch";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ARCHIVE_ATTEMPTS_MAX, ARCHIVE_REQUEST_MS_MAX, ARCHIVE_RETRY_MS_MAX, ARCHIVE_RETRY_MS_MIN } from "../limits.ts";

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Times {
  /** Of one attempt, ms. */
  readonly requestMs: number;
  readonly attempts: number;
  /** The first and the longest pause before another attempt. It doubles each time. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
}

const TIMES: S3Times = {
  requestMs: ARCHIVE_REQUEST_MS_MAX,
  attempts: ARCHIVE_ATTEMPTS_MAX,
  retryMsMin: ARCHIVE_RETRY_MS_MIN,
  retryMsMax: ARCHIVE_RETRY_MS_MAX,
};

interface S3RequestsOptions {
  /** Of the bucket: what all paths are below. */
  readonly base: URL;
  readonly region: string;
  readonly keys: S3Keys;
  /** Default: those of `src/limits.ts`. */
  readonly times?: S3Times;
}

interface S3Request {
  readonly method: "GET" | "PUT" | "DELETE";
  /** Below the bucket, of characters that need no escape. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly range?: string;
  readonly body?: Uint8Array;
  /** The largest answer that is read. */
  readonly bytesMax: number;
}

export interface S3Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Thrown by the reader of an answer that can't be what the server meant to send: the request is repeated. */
export class WrongAnswer extends Error {}

/** Thrown for an answer with more than `bytesMax`. */
export class TooLargeAnswer extends Error {}

/** An error as S3 describes it. It has the code alone: the text that comes with it may repeat the request. */
const ERROR_CODE = /<Code>([A-Za-z0-9.]{1,100})<\/Code>/;
const ERROR_BYTES_MAX = 65_536;

const CLIENT_ERROR = 400;
const REQUEST_TIMEOUT = 408;
const TOO_MANY_REQUESTS = 429;
const SERVER_ERROR = 500;

export class S3Requests {
  readonly #options: S3RequestsOptions;
  readonly #times: S3Times;
  /** The signer's, which derives a key once a day. */
  readonly #derivedKeys = new Map<string, ArrayBuffer>();

  constructor(options: S3RequestsOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
  }

  /** Returns what `read` makes of the answer, an error of S3 included. Throws `ARCHIVE_UNAVAILABLE`, and what `read` throws. */
  async send<T>(request: S3Request, read: (answer: S3Answer) => T): Promise<T> {
    const { attempts, retryMsMin, retryMsMax } = this.#times;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(request, read);
      if ("value" in outcome) return outcome.value;
      if (attempt >= attempts) throw this.unavailable(request, outcome.why, outcome.cause);
      const pauseMs = Math.min(retryMsMax, retryMsMin * 2 ** (attempt - 1));
      await delay(pauseMs / 2 + (Math.random() * pauseMs) / 2);
    }
  }

  /** What a request fails with that the server refuses. */
  refusal(request: Pick<S3Request, "method" | "path">, answer: S3Answer): TidemarkError {
    return this.unavailable(request, reasonIn(answer));
  }

  unavailable({ method, path }: Pick<S3Request, "method" | "path">, why: string, cause?: unknown): TidemarkError {
    const where = `${this.#options.base.host}${this.#options.base.pathname}`;
    return new TidemarkError("ARCHIVE_UNAVAILABLE", `the archive at ${where} failed: ${method} ${path}: ${why}`, {
      cause,
    });
  }

  /** Says why if the request may be repeated. */
  async #attempt<T>(
    request: S3Request,
    read: (answer: S3Answer) => T,
  ): Promise<{ readonly value: T } | { readonly why: string; readonly cause?: unknown }> {
    try {
      const answer = await this.#answerTo(request);
      const { status } = answer;
      const isBusy = status >= SERVER_ERROR || status === TOO_MANY_REQUESTS || status === REQUEST_TIMEOUT;
      return isBusy ? { why: reasonIn(answer) } : { value: read(answer) };
    } catch (error) {
      if (error instanceof TidemarkError || error instanceof TooLargeAnswer) throw error;
      return { why: whyOf(error, this.#times), cause: error };
    }
  }

  async #answerTo({ method, path, query = {}, range, body, bytesMax }: S3Request): Promise<S3Answer> {
    const { base, region, keys } = this.#options;
    const url = new URL(base);
    url.pathname = `${base.pathname.replace(/\/$/, "")}/${path}`;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const digest = createHash("sha256")
      .update(body ?? "")
      .digest("hex");
    const signed = await new AwsV4Signer({
      ...keys,
      method,
      url: url.href,
      headers: { "x-amz-content-sha256": digest },
      service: "s3",
      region,
      cache: this.#derivedKeys,
    }).sign();
    // Not signed: a server in front may change it. Compressed answers would have other lengths than they say.
    signed.headers.set("accept-encoding", "identity");
    if (range !== undefined) signed.headers.set("range", range);
    const response = await fetch(signed.url, {
      method,
      headers: signed.headers,
      redirect: "manual",
      signal: AbortSignal.timeout(this.#times.requestMs),
      ...(body !== undefined && { body }),
    });
    const { status, headers } = response;
    const max = status >= CLIENT_ERROR ? ERROR_BYTES_MAX : bytesMax;
    return { status, headers, body: await bodyOf(response, max) };
  }
}

async function bodyOf(response: Response, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop closes the connection.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new TooLargeAnswer();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function reasonIn({ status, body }: S3Answer): string {
  const code = ERROR_CODE.exec(body.toString("latin1"))?.[1];
  return code === undefined ? `the answer has status ${status}` : `${code} (status ${status})`;
}

/** `fetch` itself says only that it failed: its cause says why. */
function whyOf(error: unknown, { requestMs }: S3Times): string {
  if (error instanceof Error && error.name === "TimeoutError") return `not done within ${requestMs} ms`;
  return error instanceof Error && error.cause !== undefined ? reasonOf(error.cause) : reasonOf(error);
}
