/**
 * Puts orders into one answer of the homeserver: decoded, spliced, and encoded again in the same way.
 *
 * Whatever can't be annotated passes as it came; the outcome says why. An answer is held as a whole, so its bytes are bounded,
 * and those of all answers together. It is read and spliced in slices: nobody else waits for a large one.
 */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants, gunzip, gzip } from "node:zlib";
import { inSlices } from "../in-slices.ts";
import { PROXY_ANSWER_BYTES_MAX, PROXY_HELD_BYTES_MAX } from "../limits.ts";
import type { UserId } from "../matrix/ids.ts";
import type { Annotated } from "./annotated-paths.ts";
import { type OrderPlace, orderPlaces } from "./order-places.ts";
import { type OrderOf, withOrders } from "./order-splice.ts";
import { type ShownMarker, shownMarkers } from "./shown-markers.ts";
import { withFeature } from "./versions.ts";

/** What became of an answer on an annotated path. `too_large`, `busy`, `encoding` and `not_json` passed as they came. */
export type Outcome = "annotated" | "unchanged" | "too_large" | "busy" | "encoding" | "not_json";

/** Where orders come from. Never rejects: without an answer in time, it knows no orders. */
export type FindOrders = (places: readonly OrderPlace[], options: { readonly mayWait: boolean }) => Promise<OrderOf>;

/** Answers are compressed while their client waits. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };
const GZIP = { level: 3 };

interface Coding {
  decode(body: Buffer): Promise<Buffer>;
  encode(body: Buffer): Promise<Buffer>;
}

const DECODED = { maxOutputLength: PROXY_ANSWER_BYTES_MAX };
const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ["identity", { decode: async (body) => body, encode: async (body) => body }],
  [
    "gzip",
    {
      decode: (body) => promisify(gunzip)(body, DECODED),
      encode: (body) => promisify(gzip)(body, GZIP),
    },
  ],
  [
    "br",
    {
      decode: (body) => promisify(brotliDecompress)(body, DECODED),
      encode: (body) => promisify(brotliCompress)(body, BROTLI),
    },
  ],
]);

/** Whether an answer is one that can have orders. */
export function canHaveOrders({ statusCode, headers }: IncomingMessage): boolean {
  return statusCode === 200 && /^application\/json\s*(?:;|$)/i.test(headers["content-type"] ?? "");
}

/** Bytes of answers that are held at a time, of all clients. */
export class HeldBytes {
  #bytes = 0;

  /** Returns whether so many more may be held. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > PROXY_HELD_BYTES_MAX) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

interface Gathered {
  readonly chunks: readonly Buffer[];
  /** Those that were taken of `held`. */
  readonly bytes: number;
  readonly refused?: "too_large" | "busy";
}

/** Reads an answer to its end, or until it is more than may be held: the rest of the stream is then still to be read. */
export function gather(answer: IncomingMessage, held: HeldBytes): Promise<Gathered> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = () => {
      answer.off("data", take).off("end", finish).off("close", breakOff);
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      const isTooLarge = bytes + chunk.length > PROXY_ANSWER_BYTES_MAX;
      if (!isTooLarge && held.take(chunk.length)) {
        bytes += chunk.length;
        return;
      }
      stop();
      answer.pause();
      resolve({ chunks, bytes, refused: isTooLarge ? "too_large" : "busy" });
    };
    const finish = () => {
      stop();
      resolve({ chunks, bytes });
    };
    const breakOff = () => {
      stop();
      held.release(bytes);
      reject(new Error("the homeserver broke off its answer"));
    };
    answer.on("data", take).on("end", finish).on("close", breakOff);
  });
}

interface AnnotationOptions {
  readonly annotated: Annotated;
  /** The `content-encoding` of the answer. */
  readonly encoding: string | undefined;
  readonly findOrders: FindOrders;
  /** The names under which an order is written. */
  readonly orderNames: readonly string[];
  /** Who asked, if that is known. */
  readonly user: UserId | undefined;
  /** Called with the user's own markers that the answer shows, if it has any. */
  readonly onShown: (markers: readonly ShownMarker[]) => void;
}

export async function annotate(
  body: Buffer,
  options: AnnotationOptions,
): Promise<{ readonly body: Buffer; readonly outcome: Outcome }> {
  const { annotated, encoding = "identity" } = options;
  const coding = CODINGS.get(encoding.trim().toLowerCase());
  if (coding === undefined) return { body, outcome: "encoding" };
  let json: Buffer;
  try {
    json = await coding.decode(body);
  } catch (error) {
    return { body, outcome: error instanceof RangeError ? "too_large" : "encoding" };
  }
  const spliced = await (annotated.kind === "versions" ? inSlices(withFeature(json)) : ordered(json, options));
  if (spliced === undefined) return { body, outcome: "not_json" };
  if (spliced === json) return { body, outcome: "unchanged" };
  return { body: await coding.encode(spliced), outcome: "annotated" };
}

/** Returns undefined for what is no JSON. */
async function ordered(
  json: Buffer,
  { annotated: { room, isIncremental: mayWait }, findOrders, orderNames: names, user, onShown }: AnnotationOptions,
): Promise<Buffer | undefined> {
  // Of one that doesn't go on from an earlier one, the receipts are of all times: they are read otherwise.
  const markers = await inSlices(shownMarkers(json, mayWait ? user : undefined));
  if (markers.length > 0) onShown(markers);
  const places = await inSlices(orderPlaces(json, room));
  if (places === undefined || places.length === 0) return places === undefined ? undefined : json;
  const orderOf = await findOrders(places, { mayWait });
  return inSlices(withOrders(json, places, { orderOf, names }));
}
