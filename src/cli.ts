#!/usr/bin/env node
/** The command line (DESIGN 4.6): a command a file. Exit status: 0 done, 1 failed, 2 wrong usage. */
import { Command, CommanderError } from "commander";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { replayCommand } from "./commands/replay.ts";
import { startCommand } from "./commands/start.ts";
import { statusCommand } from "./commands/status.ts";
import { verifyCommand } from "./commands/verify.ts";
import { reasonOf } from "./errors.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const program = new Command("tidemark")
  .description("Explicit, permanent ordering of events and read receipts for Matrix rooms (MSC4033), on NATS JetStream")
  .exitOverride();

const commands = [startCommand(), replayCommand(), verifyCommand(), exportCommand(), importCommand(), statusCommand()];
for (const command of commands) program.addCommand(command.copyInheritedSettings(program));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has said why
  } else {
    process.stderr.write(`tidemark: ${reasonOf(error)}\n`);
    process.exitCode = EXIT_FAILED;
  }
}
