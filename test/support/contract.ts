/**
 * Checks replies and published messages against the schemas of the contract: no key is missing, invalid or additional.
 */
import type * as z from "zod";
import { MESSAGES, type PublicKind } from "../../src/bus/contract/messages.ts";
import { QUESTIONS } from "../../src/bus/contract/questions.ts";
import { accepted, appended, eduReply, refusal } from "../../src/bus/contract/replies.ts";

/** Returns the fault of a reply to `tidemark.in.*` or `tidemark.query.*`, or undefined. */
export function replyFault(subject: string, request: unknown, reply: { readonly ok?: unknown }): string | undefined {
  if (reply.ok === false) return fault(refusal, reply);
  if (subject.startsWith("tidemark.in.edu.")) return fault(accepted(eduReply), reply);
  if (subject.startsWith("tidemark.in.")) return fault(accepted(appended), reply);
  const answer = answerTo(request);
  return answer === undefined ? "it answers an unknown question" : fault(accepted(answer), reply);
}

/** Returns the fault of a published message, or undefined. */
export function messageFault(subject: string, body: unknown): string | undefined {
  const kind = kindAt(subject);
  return kind && fault<z.ZodRawShape>(MESSAGES[kind].schema, body);
}

function answerTo(request: unknown): z.ZodObject | undefined {
  const { op } = request as { readonly op?: string };
  return op !== undefined && Object.hasOwn(QUESTIONS, op) ? QUESTIONS[op as keyof typeof QUESTIONS].answer : undefined;
}

function kindAt(subject: string): PublicKind | undefined {
  const [, first, ...rest] = subject.split(".");
  if (first === "client") return rest.at(-1) === "events" ? "events" : "receipts";
  if (first === "user") return "private";
  return first === "federation" || first === "rejected" ? first : undefined;
}

function fault<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, value: unknown): string | undefined {
  const [issue] = schema.strict().safeParse(value).error?.issues ?? [];
  return issue && `${issue.path.join(".")}: ${issue.message}`;
}
