/** `tidemark export`: copies logs into a file. */
import { type Command, Option } from "commander";
import { sequenceOf } from "../../actors/entry.ts";
import type { RoomId } from "../matrix/ids.ts";
import { exportLog } from "../replay/export.ts";
import { type BusOptions, logCommand, partitionOption, skipOption, skipping, withBus, wrongUsage } from "./bus.ts";
import { integer } from "./options.ts";
import { print } from "./output.ts";
import { Progress } from "./progress.ts";

interface ExportOptions extends BusOptions {
  readonly all?: true;
  readonly partition?: number;
  readonly out: string;
  readonly redact?: boolean;
  /** A position. */
  readonly until?: number;
  readonly skipUnreadable?: true;
}

export function exportCommand(): Command {
  return logCommand("export", "copy the log of a room, of a partition or of all rooms into a file")
    .addOption(partitionOption())
    .addOption(new Option("--out <log>", "the file; compressed when its name ends in .gz").makeOptionMandatory())
    .addOption(new Option("--redact", "leave out message content, for sharing"))
    .addOption(
      new Option(
        "--until <position>",
        "the last record to copy, of a room or a partition: that of this position",
      ).argParser(integer(0, Number.MAX_SAFE_INTEGER)),
    )
    .addOption(skipOption())
    .action(async (room: RoomId | undefined, options: ExportOptions) => {
      const { all, partition, out, redact = false, until, skipUnreadable, ...bus } = options;
      if ([room !== undefined, all === true, partition !== undefined].filter(Boolean).length !== 1) {
        wrongUsage("name a room, or --partition, or --all");
      }
      if (until !== undefined && all)
        wrongUsage("--until needs a room, or --partition: positions are of one partition");
      const progress = new Progress("exporting");
      const { records, entries } = await withBus(bus, (nc) =>
        exportLog(nc, {
          out,
          redact,
          onProgress: progress.update,
          ...(room !== undefined && { room }),
          ...(partition !== undefined && { partition }),
          ...(until !== undefined && { until: sequenceOf(until) }),
          onUnreadable: skipping(skipUnreadable),
        }),
      ).finally(() => progress.stop());
      print(`${out}: ${records} records, ${entries} entries${redact ? ", without message content" : ""}`);
    });
}
