/** The URL of an archive, and what the environment adds to it. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { archivePlace, openArchiveStore } from "../../src/archive/archive-url.ts";
import { failure } from "../support/failure.ts";

const urls = suite("the URL of an archive");

const shown = (url: string, env: Record<string, string> = {}) => {
  const place = archivePlace(url, env);
  if (place.kind === "folder") return place.path;
  const { bucket, prefix, endpoint, region, pathStyle } = place;
  return `${bucket} ${prefix} ${endpoint.href} ${region} ${pathStyle ? "path" : "host"}`;
};

urls("names a folder, or a bucket with what is needed to reach it", () => {
  assert.is(shown("file:/var/lib/tidemark/archive"), "/var/lib/tidemark/archive");
  assert.is(shown("file:beside here"), "beside here");
  assert.is(shown("file:///var/archive"), "///var/archive");
  assert.is(shown("s3:tide"), "tide  https://s3.us-east-1.amazonaws.com/ us-east-1 host");
  assert.is(shown("s3:tide.mark/a/b/?region=eu-1"), "tide.mark a/b https://s3.eu-1.amazonaws.com/ eu-1 path");
  assert.is(shown("s3:tide/a?endpoint=http://minio:9000"), "tide a http://minio:9000/ us-east-1 path");
  assert.is(shown("s3:tide?endpoint=https://s3.example&style=host&region=x"), "tide  https://s3.example/ x host");
  const env = {
    AWS_REGION: "eu-2",
    AWS_ENDPOINT_URL: "https://all.example",
    AWS_ENDPOINT_URL_S3: "https://s3.example",
  };
  assert.is(shown("s3:tide", env), "tide  https://s3.example/ eu-2 path");
  assert.is(shown("s3:tide?region=eu-3", env), "tide  https://s3.example/ eu-3 path");
});

urls("that is wrong is refused, and says why", () => {
  for (const [url, why] of [
    ["", "must be"],
    ["/var/archive", "must be"],
    ["file:", "must be"],
    ["file://host/share", "must be"],
    ["s3:", "must be"],
    ["s3:Tide", "must be"],
    ["s3:tide/Upper", "has a prefix"],
    ["s3:tide/../other", "has a prefix"],
    ["s3:tide?key=secret", "has an unknown setting key"],
    ["s3:tide?region=a/b", "has a region"],
    ["s3:tide?endpoint=minio:9000", "has an endpoint that is no http"],
    ["s3:tide?endpoint=minio", "has an endpoint that is no URL"],
    ["s3:tide?endpoint=http://me:secret@minio", "has an endpoint with more"],
    ["s3:tide?style=both", "has a style"],
  ] as const) {
    assert.throws(
      () => archivePlace(url, {}),
      (error: Error) => error.message.startsWith(`the archive's URL ${why}`),
      url,
    );
  }
});

urls("needs keys in the environment for a bucket", async () => {
  const place = archivePlace("s3:tide", {});
  assert.match(await failure(openArchiveStore(place, {})), /needs AWS_ACCESS_KEY_ID/);
  await openArchiveStore(place, { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" });
});

urls.run();
