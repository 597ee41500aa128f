/** A device, and the digest of its token. */
import { createHash } from "node:crypto";
import type { UserId } from "../matrix/ids.ts";

/** The device that a request comes from. */
export interface Device {
  readonly user: UserId;
  readonly id: string | undefined;
}

/** A secret is found by its digest: how long that takes says nothing about the secret. */
export function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64url");
}
