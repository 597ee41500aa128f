/**
 * Asks a homeserver to ask whether Tidemark is there (Matrix specification, application service API, "Pinging"): one that waits after
 * failed pushes, for minutes perhaps, goes on at once.
 */
import { PING_TIMEOUT_MS } from "../limits.ts";
import type { Registration } from "./registration.ts";

/** Rejects unless the homeserver has reached Tidemark. `homeserver`: its base URL. */
export async function ping(homeserver: string, { id, asToken }: Registration): Promise<void> {
  const path = `_matrix/client/v1/appservice/${encodeURIComponent(id)}/ping`;
  const { ok, status, body } = await fetch(`${homeserver.replace(/\/+$/, "")}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${asToken}`, "content-type": "application/json" },
    body: "{}",
    redirect: "manual",
    signal: AbortSignal.timeout(PING_TIMEOUT_MS),
  });
  await body?.cancel();
  if (!ok) throw new Error(`the homeserver answered ${status}`);
}
