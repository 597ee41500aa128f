/**
 * Checks the signature of a request to S3 (AWS, "Signature Version 4 for API requests"), from what came over the wire: s3rver leaves that
 * out for this version.
 */
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { S3Keys } from "../../src/archive/s3-requests.ts";

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/;
const MUST_BE_SIGNED = ["host", "x-amz-content-sha256", "x-amz-date"];

const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
const escaped = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** Whether the request is signed with these keys, its body included. */
export function isSigned({ method, url, headers }: IncomingMessage, body: Uint8Array, keys: S3Keys): boolean {
  const [, id, day, region, names, signature] = AUTHORIZATION.exec(headers.authorization ?? "") ?? [];
  if (id !== keys.accessKeyId || names === undefined) return false;
  const signed = names.split(";");
  if (MUST_BE_SIGNED.some((name) => !signed.includes(name))) return false;
  if (headers["x-amz-content-sha256"] !== sha256(body)) return false;
  const { pathname, searchParams } = new URL(url!, "http://host");
  const query = [...searchParams].map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort();
  const canonical = [
    method,
    pathname.split("/").map(decodeURIComponent).map(escaped).join("/"),
    query.join("&"),
    ...signed.map((name) => `${name}:${headers[name]}`),
    "",
    names,
    headers["x-amz-content-sha256"],
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical)].join("\n");
  const key = [day!, region!, "s3", "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${keys.secretAccessKey}`);
  return hmac(key, toSign).toString("hex") === signature;
}
