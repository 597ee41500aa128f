/**
 * End-to-end encryption, as a server without it answers (docs/adr/0016-clients-without-encryption.md): no key is kept,
 * nobody has one, and nothing is sent to devices. Clients that have encryption built in don't start without these
 * answers.
 */
import type { FastifyInstance } from "fastify";
import { notFound } from "../http/matrix-error.ts";
import { bodyOf } from "./api.ts";

const V3 = "/_matrix/client/v3";
const UPLOAD = `${V3}/keys/upload`;

export function encryptionRoutes(app: FastifyInstance): void {
  for (const path of [UPLOAD, `${UPLOAD}/:device`]) {
    app.post(path, async (request) => ({ one_time_key_counts: countsOf(bodyOf(request).one_time_keys) }));
  }
  app.post(`${V3}/keys/query`, async (request) => {
    const { device_keys: users } = bodyOf(request);
    return { device_keys: Object.fromEntries(keysOf(users).map((user) => [user, {}])), failures: {} };
  });
  app.post(`${V3}/keys/claim`, async () => ({ one_time_keys: {}, failures: {} }));
  app.get(`${V3}/keys/changes`, async () => ({ changed: [], left: [] }));
  app.get(`${V3}/room_keys/version`, async () => {
    throw notFound("There is no backup of keys");
  });
  app.put(`${V3}/sendToDevice/:type/:txn`, async () => ({}));
}

/** How many keys there are of each algorithm. A client whose keys aren't counted uploads them again and again. */
function countsOf(keys: unknown): Record<string, number> {
  const counts = new Map<string, number>([["signed_curve25519", 0]]);
  for (const name of keysOf(keys)) {
    const algorithm = name.split(":", 1)[0]!;
    counts.set(algorithm, (counts.get(algorithm) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

function keysOf(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}
