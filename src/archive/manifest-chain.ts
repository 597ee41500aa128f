/**
 * The manifests of a partition's archive, each built on the one before, and which of them counts (docs/design.md#manifests).
 *
 *     row { reserved: 7, current: 7 }
 *        │ 1  reserve 8                          by compare-and-set: nobody else gets that number
 *     row { reserved: 8, current: 7 }
 *        │ 2  put manifest 8, built on 7; read it back
 *        │ 3  name it                            by compare-and-set: not if the row has changed since 1
 *     row { reserved: 8, current: 8 }
 *
 * Whoever stops between two steps leaves objects that nothing names. Of two archivers at once, the one that reserves later goes on, and
 * the other is refused at step 3. A number is never used twice, so a later restore can't take a manifest for another one.
 *
 * The row decides, never a list of the store: a list may be old, and a manifest that was never named looks like one that was. Where the row
 * is gone though the store has manifests of this log, nothing is written: which of them counts is for a person to say.
 */
import type { LogStart } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { Bucket } from "../bus/client/kv.ts";
import { type ArchiveRow, archiveKey, encodeArchiveRow, parseArchiveRow } from "../bus/contract/archive-row.ts";
import { ARCHIVE_BUCKET } from "../bus/contract/subjects.ts";
import { TidemarkError } from "../errors.ts";
import {
  type ArchivedSegment,
  digestOfManifest,
  encodeManifest,
  type Manifest,
  manifestsOf,
  newManifestName,
  parseManifest,
} from "./manifest.ts";
import { type ObjectStore, objectName } from "./object-store.ts";

interface ChainOptions {
  readonly nc: Bus;
  readonly store: ObjectStore;
  readonly partition: number;
  /** How many there are. */
  readonly partitions: number;
  readonly start: LogStart;
}

interface Known {
  readonly revision: number;
  readonly row: ArchiveRow;
  readonly manifest: Manifest | undefined;
}

export class ManifestChain {
  readonly #options: ChainOptions;
  readonly #bucket: Bucket;
  #known: Known;

  private constructor(options: ChainOptions, bucket: Bucket, known: Known) {
    this.#options = options;
    this.#bucket = bucket;
    this.#known = known;
  }

  /** Reads which manifest counts, and that one. Throws `ARCHIVE_DAMAGED`, `ARCHIVE_UNAVAILABLE`, `BUS_UNAVAILABLE`. */
  static async open(options: ChainOptions): Promise<ManifestChain> {
    const bucket = new Bucket(options.nc, ARCHIVE_BUCKET);
    return new ManifestChain(options, bucket, await read(options, bucket));
  }

  /** The manifest that counts, as far as known; undefined before the first. */
  get current(): Manifest | undefined {
    return this.#known.manifest;
  }

  /** The sequence through which the log is archived; 0 when nothing is. */
  get last(): number {
    return this.#known.manifest?.segments.at(-1)?.last ?? 0;
  }

  /** Reads again which manifest counts. Throws as `open`. */
  async refresh(): Promise<void> {
    this.#known = await read(this.#options, this.#bucket);
  }

  /**
   * Names segments that were read back, behind those that are there. Returns false if another archiver was faster: then nothing has
   * changed here but what `refresh` reads. Throws as `open`; the same segments may then be named or not, and `refresh` says which.
   */
  async append(segments: readonly ArchivedSegment[]): Promise<boolean> {
    const { store, partition, partitions, start } = this.#options;
    const { manifest: before, row } = this.#known;
    const number = row.reserved + 1;
    const reserved = { ...row, reserved: number };
    const revision = await this.#write(this.#known.revision, reserved);
    if (revision === undefined) return false;
    this.#known = { ...this.#known, revision, row: reserved };
    const content: Manifest = {
      number,
      partition,
      partitions,
      ...start,
      previous: row.current === null ? null : { number: row.current.number, digest: row.current.digest },
      segments: [...(before?.segments ?? []), ...segments],
    };
    const { bytes, digest } = encodeManifest(content);
    const name = newManifestName({ partition, ...start }, number);
    await store.put(name, bytes);
    if (!Buffer.from(bytes).equals((await store.get(name)) ?? Buffer.alloc(0))) throw damaged(name);
    const named = { ...reserved, current: { number, name, digest } };
    const written = await this.#write(revision, named);
    if (written === undefined) return false;
    this.#known = { revision: written, row: named, manifest: content };
    return true;
  }

  #write(after: number, row: ArchiveRow): Promise<number | undefined> {
    return this.#bucket.putAfter(archiveKey(this.#options.partition), after, encodeArchiveRow(row));
  }
}

async function read({ store, partition, start }: ChainOptions, bucket: Bucket): Promise<Known> {
  const stored = await bucket.row(archiveKey(partition));
  const revision = stored?.revision ?? 0;
  const row = stored === undefined || stored.deleted ? undefined : parseArchiveRow(stored.text);
  const log = { partition, lineage: start.lineage };
  // A row of another lineage is about a log that this one has replaced.
  if (row === undefined || row.lineage !== start.lineage) {
    for await (const { name } of store.list(manifestsOf(log))) throw unnamed(partition, name);
    return { revision, row: { lineage: start.lineage, reserved: 0, current: null }, manifest: undefined };
  }
  if (row.current === null) return { revision, row, manifest: undefined };
  const { name, digest, number } = row.current;
  const bytes = await store.get(objectName(name));
  if (bytes === undefined) throw missing(name);
  const manifest = digestOfManifest(bytes) === digest ? parseManifest(bytes) : undefined;
  if (manifest?.number !== number || manifest.partition !== partition) throw damaged(name);
  return { revision, row, manifest };
}

function missing(name: string): TidemarkError {
  const message = `the archive has no ${name}, which the broker names: point to the right archive, or restore it from a copy`;
  return new TidemarkError("ARCHIVE_DAMAGED", message);
}

function damaged(name: string): TidemarkError {
  return new TidemarkError(
    "ARCHIVE_DAMAGED",
    `${name} of the archive is not what was written: restore it from a copy of the archive`,
  );
}

function unnamed(partition: number, name: string): TidemarkError {
  return new TidemarkError(
    "ARCHIVE_DAMAGED",
    `the broker doesn't say which manifest of partition ${partition} counts, though the archive has some (${name}): nothing is archived until the bucket ${ARCHIVE_BUCKET} is restored`,
  );
}
