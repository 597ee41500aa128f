/**
 * Subjects of the bus (docs/design.md#subjects): built here and nowhere else.
 *
 * The `nats` client does not refuse white space or CRLF in a subject, so a raw string from outside would be an
 * injection hole. What publishes takes a `Subject`, and only this module makes one.
 *
 * A foreign string becomes one token: every byte of its UTF-8 outside `A–Z a–z 0–9 ! @ # $ : _ = / + ~ -` is
 * percent-encoded with upper-case hex. Each string has one token; a token in any other form is refused.
 */
import type { RoomId, ServerName, UserId } from "../../matrix/ids.ts";

export type Subject = string & { readonly subject: true };

const UNSAFE = /[^A-Za-z0-9!@#$:_=/+~-]/u;
const UNSAFE_ALL = new RegExp(UNSAFE.source, "gu");

function percent(char: string): string {
  let encoded = "";
  for (const byte of Buffer.from(char)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return encoded;
}

export function encodeToken(text: string): string {
  return UNSAFE.test(text) ? text.replace(UNSAFE_ALL, percent) : text;
}

/** What a token stands for; undefined when no string has that token. */
export function decodeToken(token: string): string | undefined {
  if (!token.includes("%")) return encodeToken(token) === token ? token : undefined;
  try {
    const text = decodeURIComponent(token);
    return encodeToken(text) === token ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The last token of a subject: the foreign string of all that ingress and queries listen to. */
export function lastToken(subject: string): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

const subject = (text: string) => text as Subject;

/** The kinds of requests, as in the subject `tidemark.in.<kind>.<target>`. */
export type RequestKind = "event" | "backfill" | "state" | "receipt" | "edu";

/** Where requests are sent. `target`: the room, or the origin of an EDU. */
export const inSubject = (kind: RequestKind, target: RoomId | ServerName) =>
  subject(`tidemark.in.${kind}.${encodeToken(target)}`);
export const inWildcard = (kind: RequestKind) => subject(`tidemark.in.${kind}.*`);

export const logSubject = (partition: number, room: RoomId) =>
  subject(`tidemark.log.${partition}.${encodeToken(room)}`);

export const clientEvents = (partition: number, room: RoomId) =>
  subject(`tidemark.client.${partition}.${encodeToken(room)}.events`);
export const clientReceipts = (partition: number, room: RoomId) =>
  subject(`tidemark.client.${partition}.${encodeToken(room)}.receipts`);
export const userReceipts = (partition: number, user: UserId) =>
  subject(`tidemark.user.${partition}.${encodeToken(user)}.receipts`);
export const rejectedSubject = (partition: number, room: RoomId) =>
  subject(`tidemark.rejected.${partition}.${encodeToken(room)}`);

export const querySubject = (room: RoomId | UserId) => subject(`tidemark.query.${encodeToken(room)}`);
export const queryWildcard = subject("tidemark.query.*");

export const federationSubject = (destination: ServerName) =>
  subject(`tidemark.federation.${encodeToken(destination)}`);

/** Between workers: a question for the partition's owner, and through which position the owner has published. */
export const ownerSubject = (partition: number, room: string) => subject(`tidemark.owner.${partition}.${room}`);
export const ownerWildcard = (partition: number) => subject(`tidemark.owner.${partition}.*`);
export const publishedSubject = (partition: number) => subject(`tidemark.published.${partition}`);

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
export const logStream = (partition: number) => `TIDEMARK_LOG_${partition}`;
export const deltaStream = (partition: number) => `TIDEMARK_DELTAS_${partition}`;
export const TRANSACTIONS_BUCKET = "tidemark_transactions";
export const FEDERATION_CURSORS_BUCKET = "tidemark_federation";
export const FEDERATION_STREAM = "TIDEMARK_FEDERATION";
export const REJECTED_STREAM = "TIDEMARK_REJECTED";
export const logStreamSubjects = (partition: number) => [`tidemark.log.${partition}.*`];
export const deltaStreamSubjects = (partition: number) => [
  `tidemark.client.${partition}.*.*`,
  `tidemark.user.${partition}.*.receipts`,
];
export const FEDERATION_SUBJECTS = ["tidemark.federation.*"];
export const REJECTED_SUBJECTS = ["tidemark.rejected.*.*"];

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The partition of a room: FNV-1a-32 of its id's UTF-8, modulo the partition count (docs/design.md#records). */
export function partitionOf(room: RoomId, partitions: number): number {
  let hash = FNV_OFFSET;
  for (const byte of Buffer.from(room)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return (hash >>> 0) % partitions;
}
