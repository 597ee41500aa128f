/** `tidemark export`: copies logs into a file. */
import { type Command, Option } from "commander";
import type { RoomId } from "../matrix/ids.ts";
import { exportLog } from "../replay/export.ts";
import { type BusOptions, logCommand, partitionOption, withBus, wrongUsage } from "./bus.ts";
import { print } from "./output.ts";
import { Progress } from "./progress.ts";

interface ExportOptions extends BusOptions {
  readonly all?: true;
  readonly partition?: number;
  readonly out: string;
  readonly redact?: boolean;
}

export function exportCommand(): Command {
  return logCommand("export", "copy the log of a room, of a partition or of all rooms into a file")
    .addOption(partitionOption())
    .addOption(new Option("--out <log>", "the file; compressed when its name ends in .gz").makeOptionMandatory())
    .addOption(new Option("--redact", "leave out message content, for sharing"))
    .action(async (room: RoomId | undefined, { all, partition, out, redact = false, ...bus }: ExportOptions) => {
      if ([room !== undefined, all === true, partition !== undefined].filter(Boolean).length !== 1) {
        wrongUsage("name a room, or --partition, or --all");
      }
      const progress = new Progress("exporting");
      const { records, entries } = await withBus(bus, (nc) =>
        exportLog(nc, {
          out,
          redact,
          onProgress: progress.update,
          ...(room !== undefined && { room }),
          ...(partition !== undefined && { partition }),
        }),
      ).finally(() => progress.stop());
      print(`${out}: ${records} records, ${entries} entries${redact ? ", without message content" : ""}`);
    });
}
