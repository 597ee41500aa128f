#!/usr/bin/env -S node --max-semi-space-size=32
/**
 * The command line (DESIGN 4.6): a command a file. Exit status: 0 done, 1 failed, 2 wrong usage.
 *
 * The option above (MiB, also in package.json's scripts) spares the collector a tenth of all the time that receipts
 * take: with thousands of requests in flight, Node's default of 16 makes it copy each of them twice.
 */
import { Command, CommanderError } from "commander";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { importRoomCommand } from "./commands/import-room.ts";
import { registrationCommand } from "./commands/registration.ts";
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

const commands = [
  startCommand(),
  replayCommand(),
  verifyCommand(),
  exportCommand(),
  importCommand(),
  statusCommand(),
  registrationCommand(),
  importRoomCommand(),
];
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
