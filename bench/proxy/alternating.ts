/** Requests to a homeserver directly and through the proxy, one after the other in turn, so that a slow moment affects both alike. */
import { Agent, request } from "node:http";
import { percentile } from "../stats.ts";
import type { Measured } from "../trial.ts";

export interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
}

export interface BothWays {
  readonly direct: string;
  readonly proxied: string;
  readonly token: string;
}

interface Case {
  readonly id: string;
  readonly title: string;
  /** The nth request. Both ways get different ones. */
  readonly asked: (n: number) => Asked;
  /** Pairs of requests. */
  readonly pairs: number;
  /** Pairs before those, which don't count. Default: none. */
  readonly warmUpPairs?: number;
  /** `added`: what the proxy adds at p50, in ms. `ratio`: proxied to direct at p50. */
  readonly as: "added" | "ratio";
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const PARTS = 5;

/** Resolves to the time until the whole answer was there, in ms, and its bytes. Rejects unless it is 200. */
export async function timed(url: string, token: string, { method, path, body }: Asked) {
  const began = performance.now();
  return await new Promise<{ readonly ms: number; readonly bytes: number }>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, ...(body !== undefined && { "content-length": body.length }) };
    const asked = request(url + path, { method, agent, headers }, (answer) => {
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.once("error", reject);
      answer.once("end", () => {
        if (answer.statusCode === 200) resolve({ ms: performance.now() - began, bytes });
        else reject(new Error(`${method} ${path}: ${answer.statusCode}`));
      });
    });
    asked.once("error", reject);
    asked.end(body);
  });
}

/** Returns one value for each of a few parts of the run, and what a direct request takes. */
export async function compared({ direct, proxied, token }: BothWays, options: Case): Promise<Measured[]> {
  const { id, title, asked, pairs, warmUpPairs = 0, as } = options;
  const values: number[] = [];
  const own: number[] = [];
  let n = 0;
  while (n < warmUpPairs * 2) for (const url of [direct, proxied]) await timed(url, token, asked(n++));
  for (let part = 0; part < PARTS; part++) {
    const times: [number[], number[]] = [[], []];
    for (let pair = 0; pair < pairs / PARTS; pair++) {
      for (const [which, url] of [direct, proxied].entries())
        times[which]!.push((await timed(url, token, asked(n++))).ms);
    }
    const [ofDirect, ofProxied] = times.map((all) => percentile(Float64Array.from(all).sort(), 50)) as [number, number];
    own.push(ofDirect);
    values.push(as === "added" ? ofProxied - ofDirect : ofProxied / ofDirect);
  }
  const what = as === "added" ? "the proxy adds, p50" : "through the proxy : direct, p50";
  return [
    { id: `${id}_${as}`, title: `${title}: ${what}`, unit: as === "added" ? "ms" : "×", values },
    { id: `${id}_direct`, title: `${title}: direct, p50`, unit: "ms", values: own },
  ];
}
