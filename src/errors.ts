/**
 * The one error class. Codes that begin with `M_` are Matrix's, and are sent to the sender of the request
 * (docs/design.md#requests). The others stop a process, a command or a partition, and their message says what a person can do.
 */
const CODES = {
  /** The message is neither MessagePack nor JSON that Tidemark accepts. */
  M_BAD_JSON: { retry: false },
  /** A field is missing or wrong; the message names it. */
  M_INVALID_PARAM: { retry: false },
  /** The request has too many bytes or entries. */
  M_TOO_LARGE: { retry: false },
  /** The room has changed since the request's `after`. Nothing of it is stored: look again before sending it again. */
  M_BAD_STATE: { retry: false },
  /** Ingress is saturated. Send the same request again after `retryAfterMs`. */
  M_LIMIT_EXCEEDED: { retry: true },
  /** A stream did not acknowledge a message. It may or may not be stored; sending it again is safe. */
  M_UNKNOWN: { retry: true },
  /** The broker can't be reached, has no JetStream, or refused; or a worker has not made its streams yet. */
  BUS_UNAVAILABLE: { retry: true },
  /** The broker's streams or settings contradict this process's options, or are not supported. */
  BUS_MISMATCH: { retry: false },
  /** The log has a record that this version can't read. It is never skipped. */
  RECORD_UNREADABLE: { retry: false },
  /** A checkpoint can't be read or written. Nothing is lost: the log has everything. */
  STORE_FAILED: { retry: false },
  /** The log lacks records, or is another log than the one that the checkpoint is of. */
  LOG_BROKEN: { retry: false },
  /** The archive can't be reached, or refused. */
  ARCHIVE_UNAVAILABLE: { retry: true },
  /** An object of the archive is not what was written. It is never passed over. */
  ARCHIVE_DAMAGED: { retry: false },
  /** A homeserver refused a request, or did not answer. */
  HOMESERVER_REFUSED: { retry: false },
} as const;

export type ErrorCode = keyof typeof CODES;

export const ERROR_CODES = Object.keys(CODES) as ErrorCode[];

interface ErrorContext {
  /** The item of the request's array that is at fault, from 0. */
  readonly index?: number;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

export class TidemarkError extends Error {
  readonly code: ErrorCode;
  readonly index: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = "TidemarkError";
    this.code = code;
    this.index = context.index;
    this.retryAfterMs = context.retryAfterMs;
  }

  /** Whether the same request may succeed later. */
  shouldRetry(): boolean {
    return CODES[this.code].retry;
  }
}

/** The text of anything thrown, for a log line or a reply. Never includes a stack. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
