/** The program with all commands. */
import { Command, CommanderError } from "commander";
import { reasonOf } from "../errors.ts";
import { wrongUsage } from "./bus.ts";
import { eraseCommand } from "./erase.ts";
import { exportCommand } from "./export.ts";
import { importCommand } from "./import.ts";
import { importRoomCommand } from "./import-room.ts";
import { readVariables } from "./options.ts";
import { commanderOutput, complain } from "./output.ts";
import { registrationCommand } from "./registration.ts";
import { replayCommand } from "./replay.ts";
import { startCommand } from "./start.ts";
import { statusCommand } from "./status.ts";
import { verifyCommand } from "./verify.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Runs a command. Resolves to the exit status: 0 success, 1 failure, 2 wrong usage. Prints the reason of a failure. */
export async function run(args: readonly string[]): Promise<number> {
  const program = new Command("tidemark")
    .description(
      "Explicit, permanent ordering of events and read receipts for Matrix rooms (MSC4033), on NATS JetStream",
    )
    .configureOutput(commanderOutput)
    .exitOverride()
    .hook("preAction", (_, command) => {
      const fault = readVariables(command);
      if (fault !== undefined) wrongUsage(fault);
    });
  const commands = [
    startCommand(),
    replayCommand(),
    verifyCommand(),
    exportCommand(),
    eraseCommand(),
    importCommand(),
    statusCommand(),
    registrationCommand(),
    importRoomCommand(),
  ];
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has printed the reason
    complain(`tidemark: ${reasonOf(error)}`);
    return EXIT_FAILED;
  }
}
