/**
 * The one error class. What a sender over the bus sees is an `errcode` of Matrix (docs/design.md#requests); the others stop a
 * process or a partition, and their message says what a person can do.
 */
const CODES = {
  /** Undecodable: neither MessagePack nor JSON that Tidemark accepts. */
  M_BAD_JSON: { retry: false },
  /** A field is missing or wrong; the message names it. */
  M_INVALID_PARAM: { retry: false },
  /** More bytes or entries than a request may have. */
  M_TOO_LARGE: { retry: false },
  /** Saturated: the same request is welcome after `retryAfterMs`. */
  M_LIMIT_EXCEEDED: { retry: true },
  /** The log did not acknowledge. The entry may or may not be stored; sending it again is safe. */
  M_UNKNOWN: { retry: true },
  /** The broker can't be reached, or has no JetStream. */
  BUS_UNAVAILABLE: { retry: true },
  /** What the broker holds contradicts what this process was told, or can do. */
  BUS_MISMATCH: { retry: false },
  /** A record of a version or shape that this version can't read. Never skipped. */
  RECORD_UNREADABLE: { retry: false },
  /** A checkpoint can't be read or written. It is a cache: the log has everything. */
  STORE_FAILED: { retry: false },
  /** The log lacks records that it must hold, or was replaced. */
  LOG_BROKEN: { retry: false },
  /** A homeserver that was asked refused, or gave no answer. */
  HOMESERVER_REFUSED: { retry: false },
} as const;

export type ErrorCode = keyof typeof CODES;

export const ERROR_CODES = Object.keys(CODES) as ErrorCode[];

interface ErrorContext {
  /** Which item of a request's array. */
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

/** The text of whatever was thrown, for a log line or a reply. Never a stack. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
