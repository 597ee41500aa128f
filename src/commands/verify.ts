/** `tidemark verify`: whether the live owners and what they published agree with the log. */
import { Command, Option } from "commander";
import { VERIFY_WAIT_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { verify } from "../replay/verify.ts";
import { allOption, roomArgument, withBus, wrongUsage } from "./bus.ts";
import { integer, natsOption } from "./options.ts";
import { Progress } from "./progress.ts";

export function verifyCommand(): Command {
  return new Command("verify")
    .description("fold from the log, and compare with what the live owner answers and what was published")
    .argument("[room]", "the room", roomArgument)
    .addOption(allOption())
    .addOption(natsOption())
    .addOption(
      new Option("--wait <ms>", "how long an owner or its deltas may be behind the log")
        .argParser(integer(0, 3_600_000))
        .default(VERIFY_WAIT_MS),
    )
    .action(async (room: RoomId | undefined, options: { all?: true; nats?: string; wait: number }) => {
      if ((room === undefined) !== (options.all === true)) wrongUsage("name a room, or --all");
      const progress = new Progress("verifying");
      const { rooms, entries, orders, markers, deltas } = await withBus(options.nats, (nc) =>
        verify(nc, { waitMs: options.wait, onProgress: progress.update, ...(room !== undefined && { room }) }),
      ).finally(() => progress.stop());
      process.stdout.write(
        `no difference: ${rooms} rooms, ${entries} entries folded; ${orders} orders and ${markers} markers equal what ` +
          `the owners answer; ${deltas} deltas agree\n`,
      );
    });
}
