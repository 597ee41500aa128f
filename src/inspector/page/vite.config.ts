/** Builds the inspector's page into `dist/inspector`, with compressed copies of each file. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";
import { thirdPartyNotices } from "./third-party-notices.ts";

const COMPRESSIBLE = /\.(?:html|js|css|svg)$/;

/** The server sends the compressed copies, so that it does not compress on each request. */
function compressed(): Plugin {
  let out = "";
  return {
    name: "compressed",
    configResolved: (config) => {
      out = config.build.outDir;
    },
    closeBundle: async () => {
      for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !COMPRESSIBLE.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const bytes = await readFile(path);
        await writeFile(`${path}.gz`, gzipSync(bytes, { level: 9 }));
        await writeFile(`${path}.br`, brotliCompressSync(bytes));
      }
    },
  };
}

const notices = thirdPartyNotices();

export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [notices.page, compressed()],
  worker: { format: "es", plugins: () => [notices.worker] },
  build: {
    outDir: join(import.meta.dirname, "../../../dist/inspector"),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
