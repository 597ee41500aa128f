/** `tidemark status`: the owner of each partition, and how far it is logged, folded and published. */
import { Command, Option } from "commander";
import { timeText } from "../replay/history/text.ts";
import { partitionStatuses } from "../replay/status.ts";
import { withBus } from "./bus.ts";
import { natsOption } from "./options.ts";
import { Output } from "./output.ts";

const HEADINGS = [
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

export function statusCommand(): Command {
  return new Command("status")
    .description("show the owner of each partition, and how far it is logged, folded and published")
    .addOption(natsOption())
    .addOption(new Option("--json", "one JSON object per line, for tools"))
    .action(async ({ nats, json }: { nats?: string; json?: true }) => {
      const statuses = await withBus(nats, partitionStatuses);
      const out = new Output();
      if (json) {
        for (const status of statuses) out.json(status);
        await out.flush();
        return;
      }
      const rows = statuses.map(({ partition, records, last, at, folded, lag, published, owner, standbys, failed }) =>
        [
          partition,
          records,
          last,
          at === null ? "never" : timeText(at),
          records === 0 ? "-" : folded === null ? "no answer" : folded,
          lag ?? "?",
          published,
          owner ?? "none",
          [...standbys, ...failed.map((worker) => `${worker} (failed)`)].join(",") || "none",
        ].map(String),
      );
      const widths = HEADINGS.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
      for (const row of [HEADINGS, ...rows]) {
        out.line(
          row
            .map((cell, i) => cell.padEnd(widths[i]!))
            .join("  ")
            .trimEnd(),
        );
      }
      await out.flush();
    });
}
