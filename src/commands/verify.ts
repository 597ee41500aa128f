/** `tidemark verify`: checks that the live owners and the published deltas agree with the log. */
import { type Command, Option } from "commander";
import { VERIFY_WAIT_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { verify } from "../replay/verify.ts";
import { type BusOptions, logCommand, partitionOption, skipOption, skipping, withBus, wrongUsage } from "./bus.ts";
import { integer } from "./options.ts";
import { print } from "./output.ts";
import { Progress } from "./progress.ts";

interface VerifyOptions extends BusOptions {
  readonly all?: true;
  readonly partition?: number;
  readonly wait: number;
  readonly skipUnreadable?: true;
}

export function verifyCommand(): Command {
  return logCommand(
    "verify",
    "fold the log, and compare with the answers of the live owners and with the published deltas",
  )
    .addOption(
      new Option("--wait <ms>", "how long to wait for an owner or its deltas that lag behind the log")
        .argParser(integer(0, 3_600_000))
        .default(VERIFY_WAIT_MS),
    )
    .addOption(partitionOption())
    .addOption(skipOption())
    .action(async (room: RoomId | undefined, { all, partition, wait, skipUnreadable, ...bus }: VerifyOptions) => {
      if ([room !== undefined, all === true, partition !== undefined].filter(Boolean).length !== 1) {
        wrongUsage("name a room, or --partition, or --all");
      }
      const progress = new Progress("verifying");
      const { rooms, entries, orders, markers, deltas } = await withBus(bus, (nc) =>
        verify(nc, {
          waitMs: wait,
          onProgress: progress.update,
          partition,
          onUnreadable: skipping(skipUnreadable),
          ...(room !== undefined && { room }),
        }),
      ).finally(() => progress.stop());
      print(
        `no difference: ${rooms} rooms, ${entries} entries folded; ${orders} orders and ${markers} markers equal those of ` +
          `the owners; ${deltas} deltas agree`,
      );
    });
}
