#!/usr/bin/env -S node --max-semi-space-size=32
/**
 * The command line (docs/design.md#the-command-line): a command a file. Exit status: 0 done, 1 failed, 2 wrong usage.
 *
 * The option above (MiB, also in package.json's scripts) spares the collector a tenth of all the time that receipts
 * take: with thousands of requests in flight, Node's default of 16 makes it copy each of them twice.
 */
import { setFlagsFromString } from "node:v8";
import { run } from "./commands/program.ts";
import { HEAP_GROWTH_PERCENT } from "./limits.ts";

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);

process.exitCode = await run(process.argv.slice(2));
