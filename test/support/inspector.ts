/** A Tidemark with the inspector. The page is built from the sources. */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { InspectAccess } from "../../src/inspector/admission.ts";
import { ROLES, type Role, start } from "../../src/start.ts";
import { builtPage } from "./build.ts";
import { type BusHarness, servedOn, startBus } from "./harness.ts";

export const ADMIN_TOKEN = "an admin token of a test";

export interface InspectedHarness extends BusHarness {
  readonly httpUrl: string;
}

let page: Promise<string> | undefined;

async function temporaryPage(): Promise<string> {
  const out = await mkdtemp(join(tmpdir(), "tidemark-page-"));
  process.once("exit", () => rmSync(out, { recursive: true, force: true }));
  return await builtPage(out);
}

export async function startInspected(
  access: InspectAccess = { adminToken: ADMIN_TOKEN },
  roles: readonly Role[] = ROLES,
): Promise<InspectedHarness> {
  page ??= temporaryPage();
  const inspect = { access, page: await page };
  const bus = await startBus();
  try {
    const tidemark = await start({
      ...servedOn(bus),
      roles: new Set(roles),
      inspect,
      log: pino({ level: "silent" }),
    });
    return {
      ...bus,
      httpUrl: tidemark.httpUrl,
      [Symbol.asyncDispose]: async () => {
        await tidemark.stop();
        await bus[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await bus[Symbol.asyncDispose]();
    throw error;
  }
}
