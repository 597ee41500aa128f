/** `deploy/prometheus`: what it names is there, and promtool's tests of the alerts pass. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { PROMETHEUS, prometheusFiles, readAlertChecks, readAlerts, readPrometheusConfig } from "../support/deployed.ts";
import { anchorsIn } from "../support/markdown.ts";
import { ensurePromtool } from "../support/promtool.ts";

const ROOT = join(import.meta.dirname, "../..");
const HANDBOOK = "https://github.com/tidemark/tidemark/blob/main/docs/operations.md#";

const run = promisify(execFile);
const alerts = await readAlerts();

const rules = suite("alerts");

rules("fire in the cases where they should, and in no other", async () => {
  const promtool = await ensurePromtool();
  const files = await prometheusFiles(".test.yml");
  assert.ok(files.length > 1);
  const { stdout } = await run(promtool, ["test", "rules", ...files], { cwd: PROMETHEUS });
  assert.is(stdout.match(/SUCCESS/g)?.length, files.length);
});

rules("have a case in which they fire, and one in which they don't", async () => {
  const checks = await readAlertChecks();
  for (const { alert } of alerts) {
    const fires = checks.filter(({ alertname }) => alertname === alert).map((check) => check.exp_alerts !== undefined);
    assert.equal([fires.includes(true), fires.includes(false)], [true, true], alert);
  }
  const names = alerts.map(({ alert }) => alert);
  assert.is(new Set(names).size, names.length);
  assert.equal(
    checks.filter(({ alertname }) => !names.includes(alertname)),
    [],
  );
});

rules("lead to the section that says what a person does", async () => {
  const anchors = anchorsIn(await readFile(join(ROOT, "docs/operations.md"), "utf8"));
  for (const { alert, annotations } of alerts) {
    const { runbook_url: url } = annotations;
    assert.ok(url.startsWith(HANDBOOK), alert);
    assert.ok(anchors.has(url.slice(HANDBOOK.length)), `${alert}: ${url}`);
  }
});

const scraping = suite("the scrape configuration");

scraping("is one that Prometheus reads, with the rules", async () => {
  const promtool = await ensurePromtool();
  await run(promtool, ["check", "config", "prometheus.yml"], { cwd: PROMETHEUS });
  assert.equal((await readPrometheusConfig()).rule_files.sort(), await prometheusFiles(".rules.yml"));
});

scraping("has each process and each broker of docker-compose.yml", async () => {
  const { services } = parse(await readFile(join(ROOT, "docker-compose.yml"), "utf8"), { merge: true });
  const names = Object.keys(services);
  const expected = (isBroker: boolean) => names.filter((name) => name.startsWith("nats-") === isBroker).sort();
  const { scrape_configs: jobs } = await readPrometheusConfig();
  const targets = new Map(
    jobs.map(({ job_name: job, static_configs: each }) => [job, each.flatMap((config) => config.targets)]),
  );
  const ports = names.map((name) => [name, String(services[name].environment.TIDEMARK_METRICS ?? "").split(":")[1]]);
  assert.equal(
    targets.get("tidemark")!.sort(),
    ports
      .filter(([, port]) => port !== undefined)
      .map(([name, port]) => `${name}:${port}`)
      .sort(),
  );
  const hosts = (job: string) =>
    targets
      .get(job)!
      .map((target) => target.split(":")[0])
      .sort();
  assert.equal(hosts("tidemark"), expected(false));
  assert.equal(hosts("nats"), expected(true));
});

rules.run();
scraping.run();
