/** `tidemark status`: how far each partition is, which processes run, whether the homeservers push, and what is wrong. Exit status 1 when something is. */
import { type Command, Option } from "commander";
import type { InstanceReport } from "../bus/contract/instance.ts";
import { askInstances } from "../bus/instances.ts";
import { type PushReport, pushReports } from "../bus/push-reports.ts";
import { INSTANCE_ANSWER_MS } from "../limits.ts";
import { timeText } from "../replay/history/text.ts";
import { type Problem, problemsOf } from "../replay/problems.ts";
import { type PartitionStatus, partitionStatuses } from "../replay/status.ts";
import { type BusOptions, busCommand, withBus } from "./bus.ts";
import { Output } from "./output.ts";

const PARTITION_HEADINGS = [
  "partition",
  "records",
  "last sequence",
  "last append (UTC)",
  "folded",
  "lag",
  "published through",
  "owner",
  "standbys",
];
const INSTANCE_HEADINGS = ["process", "roles", "host", "version", "build", "started (UTC)", "ready"];
const PUSH_HEADINGS = ["homeserver", "last push (UTC)", "seconds ago", "pushes"];
const PROBLEM_HEADINGS = ["what is wrong", "where", "since (UTC)", "seen by", "what to do"];
const MS_PER_SECOND = 1_000;

export function statusCommand(): Command {
  return busCommand(
    "status",
    "show the owner of each partition, how far it is, which processes run, whether the homeservers push, and what is wrong",
  )
    .addOption(
      new Option("--json", "one JSON object per line, for tools: partitions, processes, homeservers, then problems"),
    )
    .action(async ({ json, ...bus }: BusOptions & { json?: true }) => {
      const [statuses, instances, reports, problems] = await withBus(bus, async (nc) => {
        const [statuses, instances] = await Promise.all([partitionStatuses(nc), askInstances(nc, INSTANCE_ANSWER_MS)]);
        const pushes = await pushReports(nc);
        return [statuses, instances, pushes, await problemsOf(nc, { statuses, pushes, instances })] as const;
      });
      const out = new Output();
      if (json) {
        for (const status of statuses) out.json(status);
        for (const { v: _, degraded: __, ...instance } of instances) out.json(instance);
        for (const { id, serverNames, pushedAt, stalledAt } of reports) {
          out.json({ homeserver: id, server_names: serverNames, pushed: pushedAt, stalled: stalledAt });
        }
        for (const { reason, ...problem } of problems) out.json({ problem: reason, ...problem });
      } else {
        print(out, [PARTITION_HEADINGS, ...statuses.map(partitionRow)]);
        if (instances.length > 0) print(out, [INSTANCE_HEADINGS, ...instances.map(instanceRow)]);
        if (reports.length > 0) print(out, [PUSH_HEADINGS, ...reports.map((report) => pushRow(report, Date.now()))]);
        if (problems.length > 0) print(out, [PROBLEM_HEADINGS, ...problems.map(problemRow)]);
        for (const { partition, fault } of statuses) if (fault !== null) out.line(`partition ${partition}: ${fault}`);
      }
      await out.flush();
      if (problems.length > 0) throw new Error(`something is wrong: ${problems.length} of the lines say what`);
    });
}

function partitionRow(status: PartitionStatus): unknown[] {
  const { partition, records, last, at, folded, lag, published, owner, standbys, failed, fault } = status;
  return [
    partition,
    records,
    last,
    at === null ? "never" : timeText(at),
    fault !== null ? "?" : records === 0 ? "-" : folded === null ? "no answer" : folded,
    lag ?? "?",
    published,
    owner ?? "none",
    [...standbys, ...failed.map((worker) => `${worker} (failed)`)].join(",") || "none",
  ];
}

function instanceRow({ instance, roles, host, version, build, started, ready }: InstanceReport): unknown[] {
  return [instance, roles.join(","), host, version, build, timeText(started), ready ? "yes" : "no"];
}

function pushRow({ id, serverNames, pushedAt, stalledAt }: PushReport, now: number): unknown[] {
  return [
    serverNames.join(",") || id,
    timeText(pushedAt),
    Math.max(0, Math.round((now - pushedAt) / MS_PER_SECOND)),
    stalledAt === null ? "flow" : `stall since ${timeText(stalledAt)}`,
  ];
}

function problemRow({ reason, where, since, instances, todo }: Problem): unknown[] {
  return [reason, where || "-", since === null ? "-" : timeText(since), instances.join(",") || "-", todo];
}

function print(out: Output, table: readonly (readonly unknown[])[]): void {
  const rows = table.map((row) => row.map(String));
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  for (const row of rows) {
    out.line(
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    );
  }
}
