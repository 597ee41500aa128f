/**
 * Writes `THIRD-PARTY-NOTICES.txt` beside the page: the packages whose code or styles are in it, with their versions
 * and licence texts. Their licences ask for that wherever copies go.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const NOTICES_FILE = "THIRD-PARTY-NOTICES.txt";
const LICENCE_FILE = /^(?:licen[cs]e|copying)(?:\.(?:md|txt))?$/i;
/** The last package on a module's path: `…/node_modules/@scope/name`. */
const PACKAGE_FOLDER = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/;
const RULE = "-".repeat(80);

/** Once for the page; and once for its workers, which are bundled by themselves, before the page is. */
interface Notices {
  readonly page: Plugin;
  readonly worker: Plugin;
}

export function thirdPartyNotices(): Notices {
  const folders = new Set<string>();
  const collect = (ids: Iterable<string>) => {
    for (const id of ids) {
      const folder = PACKAGE_FOLDER.exec(id)?.[0];
      if (folder !== undefined) folders.add(folder);
    }
  };
  return {
    worker: {
      name: "third-party-notices-worker",
      generateBundle() {
        collect(this.getModuleIds());
      },
    },
    page: {
      name: "third-party-notices",
      generateBundle() {
        collect(this.getModuleIds());
        const notices = [...folders].map(noticeOf).sort((a, b) => a.localeCompare(b, "en"));
        this.emitFile({ type: "asset", fileName: NOTICES_FILE, source: notices.join(`\n${RULE}\n\n`) });
      },
    },
  };
}

/** Throws when a package has no licence file: then somebody has to look at it. */
function noticeOf(folder: string): string {
  const manifest = readFileSync(join(folder, "package.json"), "utf8");
  const { name, version, license } = JSON.parse(manifest) as Record<"name" | "version" | "license", string>;
  const file = readdirSync(folder).find((entry) => LICENCE_FILE.test(entry));
  if (file === undefined) throw new Error(`${name} is bundled, and ${folder} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}
