/** What alerts and panels of `deploy/` ask for is what a process of Tidemark exposes, from its start. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readAlerts, readPanelQueries } from "../support/deployed.ts";
import { eventually, message, startTidemark } from "../support/harness.ts";
import { parseQuery, parseSeries, type Series } from "../support/promql.ts";

/** Labels that a scrape adds to each series. */
const OF_THE_SCRAPE = ["instance", "job"];

/** Metrics of Prometheus itself, prometheus-nats-exporter and node_exporter, with the labels that are used. */
const OF_OTHERS: readonly Series[] = [
  { name: "up", labels: new Map([["job", "tidemark"]]) },
  { name: "up", labels: new Map([["job", "nats"]]) },
  { name: "gnatsd_healthz_status_value", labels: new Map([["job", "nats"]]) },
  { name: "gnatsd_healthz_status_value", labels: new Map([["server_id", "nats-1"]]) },
  { name: "gnatsd_varz_jetstream_stats_storage", labels: new Map([["job", "nats"]]) },
  { name: "node_filesystem_avail_bytes", labels: new Map([["mountpoint", "/var/lib/nats"]]) },
];

/** As `deploy/prometheus/prometheus.yml` has it stored. */
function scraped({ name, labels }: Series): Series {
  return { name, labels: new Map([...labels, ["job", "tidemark"]]) };
}

/** Returns what a query names that is not there. */
function missingIn(text: string, exposed: readonly Series[]): string[] {
  const { metrics, groupedBy } = parseQuery(text);
  const series = exposed.filter(({ name }) => metrics.some((metric) => metric.name === name));
  const labels = new Set([...OF_THE_SCRAPE, ...series.flatMap((each) => [...each.labels.keys()])]);
  const missing = groupedBy.filter((label) => !labels.has(label));
  if (metrics.length === 0) missing.push("no metric at all");
  for (const { name, matchers } of metrics) {
    if (!series.some((each) => each.name === name)) missing.push(name);
    for (const { label, values } of matchers) {
      for (const value of values) {
        const isThere = series.some((each) => each.name === name && each.labels.get(label) === value);
        if (!isThere) missing.push(`${name}{${label}="${value}"}`);
      }
    }
  }
  return missing.map((each) => `${each} in ${text}`);
}

const exposed = suite("exposed metrics");

exposed("are what alerts and panels name, with their labels and values", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", "!room:a", message("$1"));
  let series: Series[] = [];
  // The skew of ingress is known once a record of it is folded.
  await eventually(async () => {
    series = parseSeries(await tidemark.metrics());
    return series.some(({ labels }) => labels.get("clock") === "ingress");
  }, "an entry is folded");
  const queries = [...(await readAlerts()).map(({ expr }) => expr), ...(await readPanelQueries())];
  assert.ok(queries.length > 40);
  assert.equal(
    queries.flatMap((query) => missingIn(query, [...series.map(scraped), ...OF_OTHERS])),
    [],
  );
});

exposed("that are missing are found", () => {
  const series = parseSeries('a_total{kind="x"} 1\na_bucket{le="+Inf"} 2\nb 0\n');
  const found = (text: string) => missingIn(text, series).map((line) => line.split(" in ")[0]);
  assert.equal(found('sum by (kind) (rate(a_total{kind="x"}[5m])) unless on (job) max(b) > 1e3'), []);
  assert.equal(found("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m])))"), []);
  assert.equal(found('rate(a_total{kind=~"x|y"}[5m])'), ['a_total{kind="y"}']);
  assert.equal(found('a_total{sort="x"} and c'), ['a_total{sort="x"}', "c"]);
  assert.equal(found("sum by (sort) (b)"), ["sort"]);
  assert.equal(found("absent(c)"), ["c"]);
});

exposed.run();
