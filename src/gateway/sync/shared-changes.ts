/**
 * Changes that several users may see, and the sections of responses that are rendered from them, bounded by the bytes of
 * their text.
 */
import type { Position } from "../../../actors/entry.ts";
import type { FullyRead } from "../../bus/contract/fields.ts";
import { RENDERED_BYTES_MAX } from "../../limits.ts";
import type { OrderedEvent } from "../../matrix/event.ts";
import type { ReceiptContent } from "../../matrix/receipt.ts";
import type { Filter } from "../filter.ts";
import { BoundedMaps } from "./bounded-maps.ts";

/**
 * A user's `m.fully_read`, and the position of the delta or snapshot that has it: a homeserver may move it back (F7), so of two, the
 * one of the greater position is the newer.
 */
export interface FullyReadAt extends FullyRead {
  readonly position: Position;
}

/** The changes of a room that one user may see, oldest first. */
export interface RoomChanges {
  /** Live events. */
  readonly events: readonly OrderedEvent[];
  readonly receipts: readonly ReceiptContent[];
  readonly fullyRead?: FullyReadAt | undefined;
}

/** The fields of `RoomChanges` are decoded each time that they are read. */
export interface SharedChanges extends RoomChanges {
  /** Whether the room's summary may be another one (`room-summaries.ts`). */
  readonly changesSummary: boolean;
  readonly rendered: RenderedSections;
}

/** Measured: heap for a section beside its text, for changes, and for each delta of them. */
const SECTION_COST_BYTES = 100;
const CHANGES_COST_BYTES = 1_000;
const DELTA_COST_BYTES = 8;

/** Filters are numbered, so that a section keeps no filter in memory. */
const numbers = new WeakMap<Filter, number>();
let filters = 0;

function numberOf(filter: Filter): number {
  let number = numbers.get(filter);
  if (number === undefined) {
    number = filters++;
    numbers.set(filter, number);
  }
  return number;
}

/** Rendered sections by filter; undefined where the filter leaves nothing to show. */
class RenderedSections {
  readonly #texts = new Map<number, string | undefined>();
  readonly #onGrown: () => void;
  #bytes: number;

  /**
   * `bytes`: the memory that the changes take; `onGrown`: called when a section was added to it. Default: nobody keeps the
   * sections.
   */
  constructor(bytes = 0, onGrown: () => void = () => {}) {
    this.#bytes = bytes;
    this.#onGrown = onGrown;
  }

  /** The memory that changes and sections take. */
  get bytes(): number {
    return this.#bytes;
  }

  has(filter: Filter): boolean {
    return this.#texts.has(numberOf(filter));
  }

  get(filter: Filter): string | undefined {
    return this.#texts.get(numberOf(filter));
  }

  set(filter: Filter, text: string | undefined): void {
    this.#texts.set(numberOf(filter), text);
    this.#bytes += SECTION_COST_BYTES + 2 * (text ?? "").length;
    this.#onGrown();
  }
}

/** Changes by the sequence of their first delta, for one room. */
export type SharedBySequence = Map<number, SharedChanges>;

export class SharedChangesCache extends BoundedMaps<number, SharedChanges> {
  constructor(bytesMax = RENDERED_BYTES_MAX) {
    super(bytesMax, ({ rendered }) => rendered.bytes);
  }

  /** `deltas`: how many the changes are decoded from. */
  add(by: SharedBySequence, sequence: number, { read, deltas }: AddedChanges): SharedChanges {
    const rendered = new RenderedSections(CHANGES_COST_BYTES + DELTA_COST_BYTES * deltas, () => {
      if (by.get(sequence) === changes) this.set(by, sequence, changes);
    });
    const changes = sharedChanges(read, rendered);
    this.set(by, sequence, changes);
    return changes;
  }
}

interface AddedChanges {
  readonly read: DecodedChanges;
  readonly deltas: number;
}

/** Functions that decode the fields of changes. */
export interface DecodedChanges {
  readonly events: () => OrderedEvent[];
  readonly receipts: () => ReceiptContent[];
  readonly fullyRead: () => FullyReadAt | undefined;
  readonly changesSummary: boolean;
}

/** An object with getters of its own: they are read, not lost, when it is spread. */
export function sharedChanges(decoded: DecodedChanges, rendered = new RenderedSections()): SharedChanges {
  return {
    get events() {
      return decoded.events();
    },
    get receipts() {
      return decoded.receipts();
    },
    get fullyRead() {
      return decoded.fullyRead();
    },
    changesSummary: decoded.changesSummary,
    rendered,
  };
}
