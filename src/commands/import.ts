/** `tidemark import`: copies an exported file into the logs of a broker. */
import { type Command, Option } from "commander";
import { PARTITIONS_MAX } from "../limits.ts";
import { importLog } from "../replay/import.ts";
import { DamagedLogError } from "../replay/log-lines.ts";
import { type BusOptions, busCommand, withBus } from "./bus.ts";
import { integer } from "./options.ts";
import { complain, print } from "./output.ts";
import { Progress } from "./progress.ts";

interface ImportOptions extends BusOptions {
  readonly untilLine?: number;
  readonly partitions?: number;
}

/** Says how to import what comes before a damaged line. */
function withHint(error: unknown): unknown {
  if (!(error instanceof Error && error.cause instanceof DamagedLogError && error.cause.line > 2)) return error;
  const hint = `--until-line ${error.cause.line - 1} imports what is before`;
  return new Error(`${error.message} (${hint})`, { cause: error });
}

export function importCommand(): Command {
  return busCommand("import", "copy an exported log into an empty broker; every event keeps its order")
    .argument("<log>", "the file")
    .addOption(
      new Option("--until-line <n>", "the last line to copy, of a file that is damaged after it").argParser(
        integer(2, Number.MAX_SAFE_INTEGER),
      ),
    )
    .addOption(
      new Option(
        "--partitions <n>",
        "partition count of a broker that has no logs yet (default: the file's)",
      ).argParser(integer(1, PARTITIONS_MAX)),
    )
    .action(async (path: string, { untilLine, partitions, ...bus }: ImportOptions) => {
      const progress = new Progress("importing");
      const { header, records, entries } = await withBus(bus, (nc) =>
        importLog(nc, { path, untilLine, partitions, onProgress: progress.update }),
      )
        .catch((error: unknown) => {
          throw withHint(error);
        })
        .finally(() => progress.stop());
      if (header.redacted) complain("this log was exported with --redact: it has no message content");
      print(`${path}: ${records} records, ${entries} entries imported`);
    });
}
