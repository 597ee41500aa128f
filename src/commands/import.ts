/** `tidemark import`: copies an exported file into the logs of a broker. */
import { Command } from "commander";
import { importLog } from "../replay/import.ts";
import { withBus } from "./bus.ts";
import { natsOption } from "./options.ts";
import { complain, print } from "./output.ts";
import { Progress } from "./progress.ts";

export function importCommand(): Command {
  return new Command("import")
    .description("copy an exported log into an empty broker; every entry keeps its position")
    .argument("<log>", "the file")
    .addOption(natsOption())
    .action(async (path: string, { nats }: { nats?: string }) => {
      const progress = new Progress("importing");
      const { header, records, entries } = await withBus(nats, (nc) =>
        importLog(nc, { path, onProgress: progress.update }),
      ).finally(() => progress.stop());
      if (header.redacted) complain("this log was exported with --redact: it has no message content");
      print(`${path}: ${records} records, ${entries} entries imported`);
    });
}
