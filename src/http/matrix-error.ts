/** Errors in the format of the Matrix specification ("Standard error response"). They never contain a stack trace. */
import type { FastifyError } from "fastify";
import type * as z from "zod";
import { type ErrorCode, TidemarkError } from "../errors.ts";

export class MatrixError extends Error {
  readonly status: number;
  readonly errcode: string;
  readonly retryAfterMs: number | undefined;

  constructor(status: number, errcode: string, message: string, retryAfterMs?: number) {
    super(message);
    this.name = "MatrixError";
    this.status = status;
    this.errcode = errcode;
    this.retryAfterMs = retryAfterMs;
  }
}

export const badJson = (why: string) => new MatrixError(400, "M_BAD_JSON", why);
export const notJson = (why: string) => new MatrixError(400, "M_NOT_JSON", why);
export const invalidParam = (why: string) => new MatrixError(400, "M_INVALID_PARAM", why);
export const forbidden = (why: string) => new MatrixError(403, "M_FORBIDDEN", why);
export const notFound = (why: string) => new MatrixError(404, "M_NOT_FOUND", why);
export const tooManyRequests = (waitMs: number) =>
  new MatrixError(429, "M_LIMIT_EXCEEDED", "Too many requests", waitMs);
export const unrecognized = () => new MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request");

/** Parses an identifier or parameter. Throws `M_INVALID_PARAM` with the name of the field. */
export function param<S extends z.ZodType>(schema: S, field: string, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalidParam(`${field}: ${result.error.issues[0]?.message ?? "is not valid"}`);
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  M_BAD_JSON: 400,
  M_INVALID_PARAM: 400,
  M_BAD_STATE: 409,
  M_TOO_LARGE: 413,
  M_LIMIT_EXCEEDED: 429,
};

/**
 * Returns the HTTP status of an error code. Codes without one of their own are failures of Tidemark, not of the
 * request: 503.
 */
export function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? 503;
}

/** Translates a thrown value. Returns undefined for unexpected errors. */
export function matrixErrorOf(error: unknown): MatrixError | undefined {
  if (error instanceof MatrixError) return error;
  if (error instanceof TidemarkError) {
    const status = statusOf(error.code);
    if (status !== 503) return new MatrixError(status, error.code, error.message, error.retryAfterMs);
    return new MatrixError(
      status,
      "M_UNKNOWN",
      "Tidemark can't answer at the moment. The same request may succeed later.",
    );
  }
  const { code, statusCode } = error as Partial<FastifyError>;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE")
    return new MatrixError(413, "M_TOO_LARGE", "The request body is too large");
  if (code === "FST_ERR_BAD_URL") return invalidParam("The path is not properly percent-encoded");
  if (statusCode !== undefined && statusCode < 500) {
    return new MatrixError(statusCode, "M_UNRECOGNIZED", (error as Error).message);
  }
  return undefined;
}

export function errorBody({ errcode, message, retryAfterMs }: MatrixError): Record<string, unknown> {
  return { errcode, error: message, ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }) };
}
