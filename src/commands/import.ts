/** `tidemark import`: copies an exported file into the logs of a broker. */
import type { Command } from "commander";
import { importLog } from "../replay/import.ts";
import { type BusOptions, busCommand, withBus } from "./bus.ts";
import { complain, print } from "./output.ts";
import { Progress } from "./progress.ts";

export function importCommand(): Command {
  return busCommand("import", "copy an exported log into an empty broker; every entry keeps its position")
    .argument("<log>", "the file")
    .action(async (path: string, bus: BusOptions) => {
      const progress = new Progress("importing");
      const { header, records, entries } = await withBus(bus, (nc) =>
        importLog(nc, { path, onProgress: progress.update }),
      ).finally(() => progress.stop());
      if (header.redacted) complain("this log was exported with --redact: it has no message content");
      print(`${path}: ${records} records, ${entries} entries imported`);
    });
}
