/**
 * What each process says of itself when an operator asks all of them (`tidemark.status`). There is no room and no user in it. It is written by
 * other processes, some of other versions, so whoever reads it validates it.
 */
import * as z from "zod";
import { decodeUntrusted, encodingOf } from "./codec.ts";
import { reportedCondition } from "./lease-rows.ts";

const TEXT_CHARS_MAX = 256;
const CONDITIONS_MAX = 1_024;
const text = z.string().max(TEXT_CHARS_MAX);

export const instanceReport = z.object({
  v: z.literal(1),
  instance: text.describe("Its name: a worker's id, for others the host and a random part."),
  host: text,
  roles: z.array(text).max(16),
  version: text.describe("Of the package."),
  build: text.describe("A digest of the code: the same for the same build."),
  started: z.int().describe("Unix time in ms."),
  ready: z.boolean().describe("What `/readyz` says."),
  degraded: z.array(reportedCondition).max(CONDITIONS_MAX).describe("What is wrong at it."),
});

export type InstanceReport = Readonly<z.infer<typeof instanceReport>>;

export const INSTANCE_EXAMPLE: InstanceReport = {
  v: 1,
  instance: "vm-d47f9388",
  host: "vm",
  roles: ["ingress", "worker"],
  version: "0.1.0",
  build: "5d2ac1e0",
  started: 1_763_806_563_363,
  ready: true,
  degraded: [{ reason: "broker_away", where: "", since: 1_763_806_570_000 }],
};

/** undefined for what is no report of this version. */
export function decodeInstance(bytes: Uint8Array): InstanceReport | undefined {
  try {
    return instanceReport.safeParse(decodeUntrusted(bytes, encodingOf(bytes))).data;
  } catch {
    return undefined;
  }
}
