/**
 * Where the archive is, as one text, and the store that it names:
 *
 *     file:<path>
 *     s3:<bucket>[/<prefix>][?endpoint=<url>][&region=<name>][&style=path|host]
 *
 * Keys never stand in it: they come from the environment, as other programs for S3 take them.
 */
import { TidemarkError } from "../errors.ts";
import { FolderStore } from "./folder-store.ts";
import { isObjectName, type ObjectStore } from "./object-store.ts";
import { S3Store, type S3StoreOptions } from "./s3-store.ts";

export type ArchivePlace =
  | { readonly kind: "folder"; readonly path: string }
  | ({ readonly kind: "s3" } & Omit<S3StoreOptions, "keys">);

const FOLDER = /^file:(?!\/\/[^/])(.+)$/s;
const S3 = /^s3:([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([^?]*))?(?:\?(.*))?$/s;

const DEFAULT_REGION = "us-east-1";

/** Variables of the environment that say what the URL doesn't. */
interface Environment {
  readonly [name: string]: string | undefined;
}

/** Throws `M_INVALID_PARAM`, which says what is wrong. */
export function archivePlace(url: string, env: Environment = process.env): ArchivePlace {
  const path = FOLDER.exec(url)?.[1];
  if (path !== undefined) return { kind: "folder", path };
  const [, bucket, prefix = "", query = ""] = S3.exec(url) ?? [];
  if (bucket === undefined)
    throw invalid("must be file:<path> or s3:<bucket>[/<prefix>][?endpoint=<url>&region=<name>]");
  const trimmed = prefix.replace(/\/$/, "");
  if (trimmed !== "" && !isObjectName(trimmed))
    throw invalid("has a prefix with other characters than a-z 0-9 . _ - /");
  const settings = new URLSearchParams(query);
  for (const name of settings.keys()) {
    if (!["endpoint", "region", "style"].includes(name)) throw invalid(`has an unknown setting ${name}`);
  }
  const region = settings.get("region") ?? env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? DEFAULT_REGION;
  if (!/^[a-z0-9-]{1,64}$/.test(region)) throw invalid("has a region that is none");
  const named = settings.get("endpoint") ?? env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL;
  const endpoint = endpointOf(named ?? `https://s3.${region}.amazonaws.com`);
  const style = settings.get("style");
  if (style !== null && style !== "path" && style !== "host")
    throw invalid("has a style that is neither path nor host");
  // A certificate for all buckets of a server has no place for a dot in a bucket's name.
  const pathStyle = style === null ? named !== undefined || bucket.includes(".") : style === "path";
  return { kind: "s3", bucket, prefix: trimmed, endpoint, region, pathStyle };
}

/** Throws `ARCHIVE_UNAVAILABLE` for a folder that can't be used, `M_INVALID_PARAM` when the environment has no keys. */
export async function openArchiveStore(place: ArchivePlace, env: Environment = process.env): Promise<ObjectStore> {
  if (place.kind === "folder") return FolderStore.open(place.path);
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  if (!accessKeyId || !secretAccessKey) {
    throw invalid("needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment");
  }
  const keys = { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  return new S3Store({ ...place, keys });
}

function endpointOf(text: string): URL {
  if (!URL.canParse(text)) throw invalid("has an endpoint that is no URL");
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol)) throw invalid("has an endpoint that is no http(s) URL");
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw invalid("has an endpoint with more than a host, a port and a path");
  }
  return url;
}

function invalid(what: string): TidemarkError {
  return new TidemarkError("M_INVALID_PARAM", `the archive's URL ${what}`);
}
