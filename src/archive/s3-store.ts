/** Objects in a bucket of an S3 server, below a prefix. An S3 server answers a write once it has it on disk. */
import { ARCHIVE_OBJECT_BYTES_MAX } from "../limits.ts";
import {
  type ByteRange,
  isObjectName,
  type ObjectName,
  type ObjectStore,
  type StoredObject,
  tooLarge,
  tooShort,
} from "./object-store.ts";
import { type S3Answer, type S3Keys, S3Requests, type S3Times, TooLargeAnswer, WrongAnswer } from "./s3-requests.ts";

export interface S3StoreOptions {
  readonly bucket: string;
  /** A name of an object, or empty. */
  readonly prefix: string;
  readonly endpoint: URL;
  readonly region: string;
  /** Whether the bucket is the first part of the path. Otherwise it is the first part of the host's name. */
  readonly pathStyle: boolean;
  readonly keys: S3Keys;
  readonly times?: S3Times;
  /** Objects of one page of a list. Default: what the server gives, at most 1,000. */
  readonly pageObjects?: number;
}

const OK = 200;
const NO_CONTENT = 204;
const PARTIAL = 206;
const NOT_FOUND = 404;
const NO_SUCH_RANGE = 416;

const LIST_BYTES_MAX = 4_194_304;
const PAGE_OBJECTS_MAX = 1_000;

const CONTENTS = /<Contents>(.*?)<\/Contents>/gs;
const KEY = /<Key>(.*?)<\/Key>/s;
const SIZE = /<Size>(\d{1,15})<\/Size>/;
const NEXT = /<NextContinuationToken>(.*?)<\/NextContinuationToken>/s;
const WHOLE_LIST = /<\/ListBucketResult>\s*$/;
const NO_SUCH_KEY = "<Code>NoSuchKey</Code>";
const TOTAL = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/;

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

export class S3Store implements ObjectStore {
  readonly #requests: S3Requests;
  /** Empty, or with a slash at its end. */
  readonly #prefix: string;
  readonly #pageObjects: number;

  /** Does nothing with the server. */
  constructor({ bucket, prefix, endpoint, region, pathStyle, keys, times, pageObjects }: S3StoreOptions) {
    const base = new URL(endpoint);
    if (pathStyle) base.pathname = `${base.pathname.replace(/\/$/, "")}/${bucket}`;
    else base.hostname = `${bucket}.${base.hostname}`;
    this.#requests = new S3Requests({ base, region, keys, ...(times !== undefined && { times }) });
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#pageObjects = pageObjects ?? PAGE_OBJECTS_MAX;
  }

  async put(name: ObjectName, bytes: Uint8Array): Promise<void> {
    const request = { method: "PUT", path: this.#prefix + name, body: bytes, bytesMax: LIST_BYTES_MAX } as const;
    await this.#requests.send(request, (answer) => {
      if (answer.status !== OK) throw this.#requests.refusal(request, answer);
    });
  }

  async get(name: ObjectName, range?: ByteRange): Promise<Uint8Array | undefined> {
    const request = {
      method: "GET",
      path: this.#prefix + name,
      bytesMax: range?.length ?? ARCHIVE_OBJECT_BYTES_MAX,
      ...(range !== undefined && { range: `bytes=${range.from}-${range.from + range.length - 1}` }),
    } as const;
    try {
      return await this.#requests.send(request, (answer) => {
        if (isMissing(answer)) return undefined;
        if (answer.status === NO_SUCH_RANGE && range !== undefined) throw tooShort(name, range);
        if (answer.status !== (range === undefined ? OK : PARTIAL)) throw this.#requests.refusal(request, answer);
        return range === undefined ? answer.body : partIn(answer, name, range);
      });
    } catch (error) {
      if (!(error instanceof TooLargeAnswer)) throw error;
      if (range === undefined) throw tooLarge(name, ARCHIVE_OBJECT_BYTES_MAX);
      throw this.#requests.unavailable(request, "the answer has more than the range: the server must support ranges");
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for (let page = await this.#page(prefix); ; page = await this.#page(prefix, page.next)) {
      yield* page.objects;
      if (page.next === undefined) return;
    }
  }

  async delete(name: ObjectName): Promise<void> {
    const request = { method: "DELETE", path: this.#prefix + name, bytesMax: LIST_BYTES_MAX } as const;
    await this.#requests.send(request, (answer) => {
      if (answer.status === NO_CONTENT || answer.status === OK || isMissing(answer)) return;
      throw this.#requests.refusal(request, answer);
    });
  }

  #page(prefix: string, token?: string): Promise<Page> {
    const request = {
      method: "GET",
      path: "",
      bytesMax: LIST_BYTES_MAX,
      query: {
        "list-type": "2",
        "max-keys": String(this.#pageObjects),
        prefix: this.#prefix + prefix,
        ...(token !== undefined && { "continuation-token": token }),
      },
    } as const;
    return this.#requests.send(request, (answer) => {
      if (answer.status !== OK) throw this.#requests.refusal(request, answer);
      return this.#pageIn(answer.body.toString());
    });
  }

  #pageIn(xml: string): Page {
    if (!WHOLE_LIST.test(xml)) throw new WrongAnswer("the list of objects is cut off");
    const objects: StoredObject[] = [];
    for (const [, contents] of xml.matchAll(CONTENTS)) {
      const key = unescaped(KEY.exec(contents!)?.[1] ?? "");
      const name = key.slice(this.#prefix.length);
      if (key.startsWith(this.#prefix) && isObjectName(name)) {
        objects.push({ name, bytes: Number(SIZE.exec(contents!)?.[1]) });
      }
    }
    const next = NEXT.exec(xml)?.[1];
    return next === undefined ? { objects, next } : { objects, next: unescaped(next) };
  }
}

interface Page {
  readonly objects: readonly StoredObject[];
  /** What asks for the next page; undefined for the last one. */
  readonly next: string | undefined;
}

/** A bucket that is missing has the same status, and is not what was meant. */
function isMissing({ status, body }: S3Answer): boolean {
  return status === NOT_FOUND && body.includes(NO_SUCH_KEY);
}

/** The server says which bytes it sends, and how many the object has. */
function partIn({ headers, body }: S3Answer, name: ObjectName, range: ByteRange): Buffer {
  const [, first, last, total] = TOTAL.exec(headers.get("content-range") ?? "") ?? [];
  if (total === undefined) throw new WrongAnswer("the answer doesn't say which bytes it has");
  if (Number(total) < range.from + range.length) throw tooShort(name, range);
  const isAsked = Number(first) === range.from && Number(last) === range.from + range.length - 1;
  if (!isAsked || body.length !== range.length) throw new WrongAnswer("the answer has other bytes than were asked for");
  return body;
}

function unescaped(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{2,4}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return point <= 0x10_ffff ? String.fromCodePoint(point) : whole;
  });
}
