/**
 * Sync tokens (`next_batch`, `since`): what a client has been sent, by partition. Any gateway can go on from a token.
 *
 * A place in a partition:
 *
 * - `sequence`: of the delta stream. Exact, for a gateway that still has the deltas since then in its cache.
 * - `published`: the log position through which everything had been published by then. For a gateway without those deltas,
 *   however old the token is. Positions alone would not do, because the rooms of a partition are not published in the order
 *   of their positions.
 * - `memberships`: the positions of the user's memberships beyond `published` that the client knows. Usually none.
 * - `lineage`: which log these are of, as a hash; 0 if the gateway didn't know.
 *
 * A token is sealed (`token-seal.ts`): its numbers would tell when others read privately. It is its user's alone, since it says which
 * memberships the client knows; one of another user can't be opened.
 */
import type { Position } from "../../../actors/entry.ts";
import { decode, encode } from "../../bus/contract/codec.ts";
import { hashOf } from "../../bus/contract/subjects.ts";
import { SINCE_MEMBERSHIPS_MAX } from "../../limits.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { TokenSeal } from "./token-seal.ts";

export interface Place {
  readonly sequence: number;
  readonly published: Position;
  readonly memberships: readonly Position[];
  readonly lineage: number;
}

/** A room that could not be served. */
export interface OwedRoom {
  readonly room: RoomId;
  /** The client has what was published through this position; undefined: nothing. */
  readonly since: Position | undefined;
}

export interface SyncToken {
  /** By partition; undefined where the client was sent nothing. */
  readonly places: readonly (Place | undefined)[];
  readonly owed: readonly OwedRoom[];
}

/**
 * A place takes the same bytes whatever its numbers are: the length of a token must not tell when one of them has grown. When
 * others publish something, `published` passes the user's newest memberships, and they are left out; so a token is padded, and
 * without owed rooms its length doesn't depend on the memberships either, up to 16 of them.
 *
 *     place    sequence: double | published: double | lineage: u32 | memberships: u16, and a double for each
 *     token    places | bytes of the owed rooms: u32 | owed rooms | padding
 */
const PLACE_BYTES = 22;
const DOUBLE_BYTES = 8;
const LENGTH_BYTES = 4;
/** What is beside the places without memberships is padded to a multiple of this. */
const PADDED_BYTES = 16 * DOUBLE_BYTES;
/** The `sequence` of a partition of which the client was sent nothing. */
const NOTHING_SENT = -1;
const NONE = new Uint8Array();
const NOWHERE: Place = { sequence: NOTHING_SENT, published: 0, memberships: [], lineage: 0 };

type OwedRow = readonly [room: RoomId, since: Position | null];

export class SyncTokens {
  readonly #seal: TokenSeal;
  readonly #partitions: number;

  constructor(seal: TokenSeal, partitions: number) {
    this.#seal = seal;
    this.#partitions = partitions;
  }

  write(user: UserId, { places, owed }: SyncToken): string {
    const rows = owed.map(({ room, since }): OwedRow => [room, since ?? null]);
    const written = placesBytes(places);
    const packed = rows.length === 0 ? NONE : encode(rows);
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(packed.length);
    const extra = written.length - places.length * PLACE_BYTES + packed.length;
    const padding = Math.max(1, Math.ceil(extra / PADDED_BYTES)) * PADDED_BYTES - extra;
    return this.#seal.seal(user, [written, length, packed, Buffer.alloc(padding)]);
  }

  /** Returns undefined for a token that can't be opened, or is another user's: the client may have missed anything. */
  read(user: UserId, text: string): SyncToken | undefined | Promise<SyncToken | undefined> {
    const content = this.#seal.open(user, text);
    return content instanceof Promise ? content.then((bytes) => this.#parse(bytes)) : this.#parse(content);
  }

  /** What a gateway has sealed is not validated again. The partition count is fixed with the logs. */
  #parse(content: Uint8Array | undefined): SyncToken | undefined {
    if (content === undefined) return undefined;
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
    const places: (Place | undefined)[] = [];
    let at = 0;
    while (places.length < this.#partitions) {
      const place = placeAt(bytes, at);
      places.push(place.sequence === NOTHING_SENT ? undefined : place);
      at += sizeOf(place);
    }
    const length = bytes.readUInt32BE(at);
    at += LENGTH_BYTES;
    const owed = length === 0 ? [] : (decode(bytes.subarray(at, at + length)) as OwedRow[]);
    return { places, owed: owed.map(([room, since]) => ({ room, since: since ?? undefined })) };
  }
}

function placesBytes(places: SyncToken["places"]): Buffer {
  let size = 0;
  for (const place of places) size += sizeOf(place ?? NOWHERE);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const place of places) {
    const { sequence, published, lineage, memberships } = place ?? NOWHERE;
    at = bytes.writeDoubleBE(sequence, at);
    at = bytes.writeDoubleBE(published, at);
    at = bytes.writeUInt32BE(lineage, at);
    at = bytes.writeUInt16BE(Math.min(memberships.length, SINCE_MEMBERSHIPS_MAX), at);
    for (const position of memberships.slice(-SINCE_MEMBERSHIPS_MAX)) at = bytes.writeDoubleBE(position, at);
  }
  return bytes;
}

function placeAt(bytes: Buffer, start: number): Place {
  const count = bytes.readUInt16BE(start + PLACE_BYTES - 2);
  return {
    sequence: bytes.readDoubleBE(start),
    published: bytes.readDoubleBE(start + DOUBLE_BYTES),
    lineage: bytes.readUInt32BE(start + 2 * DOUBLE_BYTES),
    memberships: Array.from({ length: count }, (_, i) => bytes.readDoubleBE(start + PLACE_BYTES + i * DOUBLE_BYTES)),
  };
}

function sizeOf({ memberships }: Pick<Place, "memberships">): number {
  return PLACE_BYTES + Math.min(memberships.length, SINCE_MEMBERSHIPS_MAX) * DOUBLE_BYTES;
}

/** A lineage in a token; 0 for an unknown one. */
export function lineageTag(lineage: string): number {
  return lineage === "" ? 0 : hashOf(lineage);
}
