/** The HTTP requests of a homeserver that pushes to the gateway. */
import type { Registration } from "../../src/homeserver/registration.ts";
import type { Body, BusHarness } from "./harness.ts";

export const HS_TOKEN = "the-hs-token";
export const REGISTRATION: Registration = {
  id: "tidemark",
  asToken: "the-as-token",
  hsToken: HS_TOKEN,
  actsAsUsers: true,
  serverNames: [],
};
export const BASE = "/_matrix/app/v1";

interface Answer {
  readonly status: number;
  readonly body: Body;
}

export async function call(
  url: string,
  method: string,
  body?: unknown,
  token: string | null = HS_TOKEN,
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: {
      "content-type": "application/json",
      ...(token !== null && { authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

export const push = (at: { readonly httpUrl: string }, id: string | number, body: unknown) =>
  call(`${at.httpUrl}${BASE}/transactions/${id}`, "PUT", body);

/** All entries of both partitions. */
export async function entriesOf(bus: BusHarness): Promise<Body[]> {
  const records = await Promise.all([0, 1].map((partition) => bus.records(partition)));
  return records.flat().flatMap(({ entries }): Body[] => [...entries]);
}
