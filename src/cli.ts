#!/usr/bin/env -S node --max-semi-space-size=32
/**
 * The command line (docs/design.md#the-command-line). Each command is a file in `commands/`.
 *
 * The size of the young generation (MiB, in the first line and in package.json's scripts) saves garbage collection a
 * tenth of the time that receipts take: with thousands of requests in flight, the default of 16 makes V8 copy each of
 * them twice.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { withoutSecrets } from "./commands/process-title.ts";
import { run } from "./commands/program.ts";

/**
 * How much the heap may grow over what was in use after a collection before the next one. By itself, V8 lets it grow to
 * four times as much where the machine has the memory. With 50, collections cost a tenth of the throughput of receipts.
 */
const HEAP_GROWTH_PERCENT = 100;

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);

/*
 * What was in use is first known after a collection, and V8 puts that off until the old generation has half of its largest size: with a
 * heap of 512 MiB a gateway kept 256 MiB of garbage. So there is one at the start.
 */
setFlagsFromString("--expose-gc");
(runInNewContext("gc") as () => void)();

/** What is written is for this user alone: it has private receipts. */
const PRIVATE_FILES_UMASK = 0o077;

process.umask(PRIVATE_FILES_UMASK);

const args = process.argv.slice(2);
const shown = withoutSecrets(args);
if (shown !== undefined) process.title = ["tidemark", ...shown].join(" ");

process.exitCode = await run(args);
