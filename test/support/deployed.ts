/** The files of `deploy/` for Prometheus and Grafana, parsed. A key that is not here is a mistake. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";

const DEPLOY = join(import.meta.dirname, "../../deploy");
export const PROMETHEUS = join(DEPLOY, "prometheus");

const rules = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^[A-Z]\w+$/),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(["page", "ticket"]) }),
          annotations: z.strictObject({ summary: z.string(), runbook_url: z.url() }),
        }),
      ),
    }),
  ),
});

const cases = z.looseObject({
  rule_files: z.array(z.string()),
  tests: z.array(
    z.looseObject({
      alert_rule_test: z.array(
        z.strictObject({ alertname: z.string(), eval_time: z.string(), exp_alerts: z.array(z.unknown()).optional() }),
      ),
    }),
  ),
});

const config = z.looseObject({
  rule_files: z.array(z.string()),
  scrape_configs: z.array(
    z.looseObject({
      job_name: z.string(),
      static_configs: z.array(z.strictObject({ targets: z.array(z.string()) })),
    }),
  ),
});

async function yaml<T>(name: string, schema: z.ZodType<T>): Promise<T> {
  return schema.parse(parse(await readFile(join(PROMETHEUS, name), "utf8")));
}

/** The names of the files in `deploy/prometheus` that end like this. */
export async function prometheusFiles(end: string): Promise<string[]> {
  return (await readdir(PROMETHEUS)).filter((name) => name.endsWith(end)).sort();
}

export async function readAlerts() {
  const files = await Promise.all((await prometheusFiles(".rules.yml")).map((name) => yaml(name, rules)));
  return files.flatMap(({ groups }) => groups.flatMap((group) => group.rules));
}

/** Each check of each case of the unit tests. */
export async function readAlertChecks() {
  const files = await Promise.all((await prometheusFiles(".test.yml")).map((name) => yaml(name, cases)));
  return files.flatMap(({ tests }) => tests.flatMap((test) => test.alert_rule_test));
}

export async function readPrometheusConfig() {
  return await yaml("prometheus.yml", config);
}

const place = z.strictObject({ x: z.int(), y: z.int(), w: z.int().positive(), h: z.int().positive() });
/** The variable that says which Prometheus of a Grafana is asked. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's notation
const source = z.strictObject({ type: z.literal("prometheus"), uid: z.literal("${datasource}") });

const row = z.strictObject({
  id: z.int(),
  type: z.literal("row"),
  title: z.string().min(1),
  collapsed: z.literal(false),
  gridPos: place,
  panels: z.tuple([]),
});

const panel = z.strictObject({
  id: z.int(),
  type: z.enum(["stat", "timeseries"]),
  title: z.string().min(1),
  description: z.string().min(1),
  datasource: source,
  gridPos: place,
  fieldConfig: z.strictObject({ defaults: z.looseObject({ unit: z.string() }), overrides: z.tuple([]) }),
  options: z.unknown().optional(),
  targets: z
    .array(
      z.strictObject({
        refId: z.string(),
        datasource: source,
        expr: z.string(),
        legendFormat: z.string(),
        instant: z.boolean().optional(),
      }),
    )
    .min(1),
});

const dashboard = z.looseObject({
  uid: z.string(),
  templating: z.strictObject({
    list: z.tuple([z.looseObject({ name: z.literal("datasource"), type: z.literal("datasource") })]),
  }),
  panels: z.array(z.discriminatedUnion("type", [row, panel])),
});

export async function readDashboard() {
  return dashboard.parse(JSON.parse(await readFile(join(DEPLOY, "grafana/tidemark.json"), "utf8")));
}

/** The queries of the dashboard's panels, as Prometheus gets them from Grafana. */
export async function readPanelQueries(): Promise<string[]> {
  const { panels } = await readDashboard();
  const targets = panels.flatMap((each) => (each.type === "row" ? [] : each.targets));
  return targets.map(({ expr }) => expr.replaceAll("$__rate_interval", "5m"));
}
