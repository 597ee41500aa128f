/**
 * Subjects of the bus (docs/design.md#subjects): built here and nowhere else.
 *
 * The `nats` client does not refuse white space or CRLF in a subject, so a raw string from outside would be an
 * injection hole. What publishes takes a `Subject`, and only this module makes one.
 *
 * A foreign string becomes one token: every byte of its UTF-8 outside `A–Z a–z 0–9 ! # $ : _ = / + ~ -` is
 * percent-encoded with upper-case hex. Each string has one token; a token in any other form is refused.
 */
import type { RoomId, ServerName, UserId } from "../../matrix/ids.ts";

export type Subject = string & { readonly subject: true };

const UNSAFE = /[^A-Za-z0-9!#$:_=/+~-]/u;
const UNSAFE_ALL = new RegExp(UNSAFE.source, "gu");

function percent(char: string): string {
  let encoded = "";
  for (const byte of Buffer.from(char)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return encoded;
}

export function encodeToken(text: string): string {
  return UNSAFE.test(text) ? text.replace(UNSAFE_ALL, percent) : text;
}

/** What a token stands for; undefined when no string has that token. Of a request, an `@` may stand for itself. */
export function decodeToken(token: string): string | undefined {
  const canonical = token.replaceAll("@", "%40");
  if (!canonical.includes("%")) return encodeToken(token) === token ? token : undefined;
  try {
    const text = decodeURIComponent(canonical);
    return encodeToken(text) === canonical ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The last token of a subject: the foreign string of all that ingress and queries listen to. */
export function lastToken(subject: string): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

const subject = (text: string) => text as Subject;

/** What the tokens of an address may stand for. */
interface Tokens {
  readonly partition: number;
  readonly room: RoomId;
  readonly user: UserId;
  readonly server: ServerName;
  readonly shard: number;
  readonly about: RoomId | UserId;
}

type TokensOf<Text extends string> = Text extends `${string}{${infer Name extends keyof Tokens}}${infer Rest}`
  ? [Tokens[Name], ...TokensOf<Rest>]
  : [];

/** Builds the subjects of one address: `clientEvents(3, room)`. */
export interface Address<Text extends string = string> {
  (...tokens: TokensOf<Text>): Subject;
  /** With a name in braces for each foreign token, as AsyncAPI writes it. */
  readonly text: Text;
  /** All subjects of the address. */
  readonly every: Subject;
}

function address<const Text extends string>(text: Text): Address<Text> {
  const pieces = text.split(/\{\w+\}/);
  const build = (...tokens: (string | number)[]) => {
    let built = pieces[0]!;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      built += (typeof token === "number" ? token : encodeToken(token)) + pieces[i + 1]!;
    }
    return subject(built);
  };
  return Object.assign(build, { text, every: subject(pieces.join("*")) });
}

/** What is sent to Tidemark. */
export const inSubject = {
  event: address("tidemark.in.event.{room}"),
  history: address("tidemark.in.history.{room}"),
  backfill: address("tidemark.in.backfill.{room}"),
  state: address("tidemark.in.state.{room}"),
  receipt: address("tidemark.in.receipt.{room}"),
  /** `server` is the origin of the EDU. */
  edu: address("tidemark.in.edu.{server}"),
};

export const logSubject = address("tidemark.log.{partition}.{room}");
/** Of the record that says how a partition's log begins. No room has this token: room ids begin with `!`. */
export const logStartSubject = address("tidemark.log.{partition}.start");

export const clientEvents = address("tidemark.client.{partition}.{room}.events");
export const clientReceipts = address("tidemark.client.{partition}.{room}.receipts");
export const userReceipts = address("tidemark.user.{partition}.{user}.receipts");
export const rejectedSubject = address("tidemark.rejected.{partition}.{room}");
export const federationSubject = address("tidemark.federation.{shard}.{server}");

/** A question about a room, or about a user. */
export const querySubject = address("tidemark.query.{about}");

/** Between workers: a question for the partition's owner, and through which position the owner has published. */
export const ownerSubject = address("tidemark.owner.{partition}.{about}");
export const ownerWildcard = (partition: number) => subject(`tidemark.owner.${partition}.*`);
export const publishedSubject = address("tidemark.published.{partition}");

/** A question to every process, of an operator: what it is, and what is wrong at it. */
export const statusSubject = address("tidemark.status");

/**
 * Whether a request may be answered there. A sender could name the log itself, or the JetStream API: it would then be this
 * process, with its own rights, that publishes there.
 */
export function isInbox(reply: string | undefined): reply is Subject {
  return reply !== undefined && reply !== "" && !reply.startsWith("tidemark.") && !reply.startsWith("$");
}

/** Names of streams and buckets, and what the streams take in. */
export const PARTITIONS_BUCKET = "tidemark";
export const LEASES_BUCKET = "tidemark_leases";
export const MARKS_BUCKET = "tidemark_published";
export const ARCHIVE_BUCKET = "tidemark_archive";
export const logStream = (partition: number) => `TIDEMARK_LOG_${partition}`;
export const deltaStream = (partition: number) => `TIDEMARK_DELTAS_${partition}`;
export const TRANSACTIONS_BUCKET = "tidemark_transactions";
export const SEALING_KEYS_BUCKET = "tidemark_keys";
export const FEDERATION_CURSORS_BUCKET = "tidemark_federation";
export const federationStream = (shard: number) => `TIDEMARK_FEDERATION_${shard}`;
export const REJECTED_STREAM = "TIDEMARK_REJECTED";
export const logStreamSubjects = (partition: number) => [`tidemark.log.${partition}.*`];
export const deltaStreamSubjects = (partition: number) => [
  `tidemark.client.${partition}.*.*`,
  `tidemark.user.${partition}.*.receipts`,
];
export const federationStreamSubjects = (shard: number) => [`tidemark.federation.${shard}.*`];
export const REJECTED_SUBJECTS = ["tidemark.rejected.*.*"];

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a-32 of a text's UTF-8. */
export function hashOf(text: string): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return hash >>> 0;
}

/** The partition of a room: the hash of its id, modulo the partition count (docs/design.md#records). */
export const partitionOf = (room: RoomId, partitions: number): number => hashOf(room) % partitions;

/** The federation shard of a server: the hash of its name, modulo the shard count (docs/design.md#subjects). */
export const shardOf = (server: ServerName, shards: number): number => hashOf(server) % shards;
