/** `deploy/grafana/tidemark.json`: a dashboard that Grafana can show, with queries that Prometheus can read. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { stringify } from "yaml";
import { readDashboard, readPanelQueries } from "../support/deployed.ts";
import { parseQuery } from "../support/promql.ts";
import { ensurePromtool } from "../support/promtool.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const SOURCES = join(import.meta.dirname, "../../src");
/** Where metrics are declared. */
const METRICS = ["metrics.ts", "proxy-metrics.ts", "latencies.ts"];
const COLUMNS = 24;

const run = promisify(execFile);

const dashboard = suite("the dashboard");

dashboard("has panels with ids of their own, none of which covers another", async () => {
  const { panels } = await readDashboard();
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos } of panels) {
    assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= COLUMNS, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.is(taken.get(`${x} ${y}`), undefined, title);
        taken.set(`${x} ${y}`, title);
      }
    }
  }
});

dashboard("has queries that Prometheus can read", async () => {
  using folder = temporaryDirectory();
  const file = join(folder.path, "rules.yml");
  const rules = (await readPanelQueries()).map((expr, i) => ({ record: `panel:query:${i}`, expr }));
  await writeFile(file, stringify({ groups: [{ name: "panels", rules }] }));
  await run(await ensurePromtool(), ["check", "rules", file]);
});

dashboard("shows each metric of Tidemark", async () => {
  const shown = (await readPanelQueries()).flatMap((query) => parseQuery(query).metrics.map(({ name }) => name));
  const families = new Set(shown.map((name) => name.replace(/_(?:bucket|sum|count)$/, "")));
  const sources = await Promise.all(METRICS.map((name) => readFile(join(SOURCES, name), "utf8")));
  const metrics = sources.join("\n").matchAll(/"(tidemark_\w+)"/g);
  assert.equal(
    Array.from(metrics, ([, name]) => name!).filter((name) => !families.has(name)),
    [],
  );
});

dashboard.run();
