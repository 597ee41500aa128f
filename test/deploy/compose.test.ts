/**
 * Checks `docker-compose.yml` and `Dockerfile` as data, for machines without a Docker engine: their shape, every
 * variable, every path, and the settings of a hardened deployment.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import * as z from "zod";
import { startCommand } from "../../src/commands/start.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** The part of the Compose Specification that the file uses. Any other key is a mistake. */
const service = z.strictObject({
  image: z.string(),
  build: z.strictObject({ context: z.literal("."), target: z.enum(["nats", "tidemark"]) }),
  restart: z.literal("unless-stopped"),
  stop_signal: z.enum(["SIGTERM", "SIGUSR2"]).optional(),
  stop_grace_period: z.string().regex(/^\d+s$/),
  user: z.string().regex(/^[1-9]\d*:[1-9]\d*$/, "must not be root"),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal("ALL")]),
  security_opt: z.tuple([z.literal("no-new-privileges:true")]),
  networks: z.tuple([z.literal("bus")]),
  tmpfs: z.array(z.string().regex(/^\/tmp:size=\d+m,mode=1777$/)).optional(),
  healthcheck: z.strictObject({
    test: z.array(z.string()).min(3),
    interval: z.string(),
    timeout: z.string(),
    retries: z.int(),
    start_period: z.string(),
  }),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal("service_healthy") })).optional(),
  deploy: z.strictObject({
    resources: z.strictObject({
      limits: z.strictObject({ cpus: z.string(), memory: z.string().regex(/^\d+[mg]$/), pids: z.int() }),
    }),
  }),
  logging: z.strictObject({ driver: z.literal("json-file"), options: z.record(z.string(), z.string()) }),
  environment: z.record(z.string(), z.string()),
  volumes: z.array(z.string().regex(/^[\w-]+:\/data$/)).optional(),
  // Not started unless it is named: the proxy changes what clients of the homeserver see.
  profiles: z.tuple([z.literal("proxy")]).optional(),
  secrets: z.tuple([z.literal("registration")]).optional(),
  // Only on loopback. Operators change this on purpose.
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/)).optional(),
});

const file = z.looseObject({
  name: z.string(),
  services: z.record(z.string(), service),
  networks: z.strictObject({ bus: z.strictObject({}) }),
  volumes: z.record(z.string(), z.strictObject({})),
  secrets: z.strictObject({ registration: z.strictObject({ file: z.string() }) }),
});

const compose = file.parse(parse(read("docker-compose.yml"), { merge: true }));
const services = Object.entries(compose.services);
const brokers = services.filter(([name]) => name.startsWith("nats-"));
const processes = services.filter(([name]) => !name.startsWith("nats-"));
const conf = read("nats.conf").replace(/#.*$/gm, "");

/** The instructions of each stage, by its `--target` name. */
function stages(): Map<string, string> {
  const parts = read("Dockerfile").split(/^FROM \S+ AS (\w+)$/m);
  return new Map(Array.from({ length: (parts.length - 1) / 2 }, (_, i) => [parts[2 * i + 1]!, parts[2 * i + 2]!]));
}

const deployment = suite("deployment");

deployment("there are three brokers, two workers, two ingresses, a gateway and a proxy", () => {
  const roleOf = ({ environment }: z.infer<typeof service>) => environment.TIDEMARK_ROLES;
  assert.is(brokers.length, 3);
  assert.equal(processes.map(([, process]) => roleOf(process)).sort(), [
    "gateway",
    "ingress",
    "ingress",
    "proxy",
    "worker",
    "worker",
  ]);
  for (const [name, process] of processes) {
    if (roleOf(process) === "worker") assert.is(process.environment.TIDEMARK_REPLICAS, "3", name);
  }
  for (const key of Object.keys(compose)) {
    assert.ok(key.startsWith("x-") || ["name", "services", "networks", "volumes", "secrets"].includes(key), key);
  }
});

deployment("every broker gets the variables of nats.conf and no others", () => {
  const wanted = Array.from(conf.matchAll(/(?<=[:\s])\$(NATS_\w+)/g), ([, name]) => name!);
  assert.ok(wanted.length >= 12);
  for (const [name, { environment }] of brokers) {
    assert.equal(Object.keys(environment).sort(), [...new Set(wanted)].sort(), name);
    assert.is(environment.NATS_SERVER_NAME, name);
  }
});

deployment("every variable of a process is an option of `tidemark start`", () => {
  const options = new Set(startCommand().options.map(({ envVar }) => envVar));
  for (const [name, { environment }] of processes) {
    for (const variable of Object.keys(environment)) assert.ok(options.has(variable), `${name}: ${variable}`);
  }
  for (const [variable] of read("Dockerfile").matchAll(/TIDEMARK_\w+(?==)/g))
    assert.ok(options.has(variable), variable);
});

deployment("each process connects as the user of its role, a proxy as a gateway's, to every broker", () => {
  for (const [name, { environment }] of processes) {
    const role = environment.TIDEMARK_ROLES!.replace("proxy", "gateway");
    const urls = environment.TIDEMARK_NATS!.split(",");
    assert.is(urls[0], `nats://${role}:\${NATS_${role.toUpperCase()}_PASSWORD:?}@nats-1:4222`, name);
    assert.equal(urls.slice(1), ["nats://nats-2:4222", "nats://nats-3:4222"]);
    assert.match(conf, new RegExp(`user: ${role}\\s+password: \\$NATS_${role.toUpperCase()}_PASSWORD`));
  }
});

deployment("passwords come from the environment, and a missing one is an error", () => {
  for (const [name, { environment }] of services) {
    for (const [variable, value] of Object.entries(environment)) {
      if (/PASSWORD|ROUTES|TIDEMARK_NATS$/.test(variable)) assert.match(value, /\$\{NATS_\w+_PASSWORD:\?\}/, name);
    }
  }
  assert.not.match(conf, /password:\s*["'\w]/, "nats.conf has no password");
});

deployment("what serves clients knows the homeserver, and a missing URL or registration is an error", () => {
  for (const [name, { environment, profiles, secrets }] of processes) {
    const servesClients = name === "gateway" || name === "proxy";
    const { TIDEMARK_HOMESERVER: homeserver, TIDEMARK_REGISTRATION: registration } = environment;
    assert.is(homeserver !== undefined, servesClients, name);
    if (servesClients) assert.match(homeserver!, /^\$\{TIDEMARK_HOMESERVER:\?[\w ,]+\}$/);
    const isProxy = name === "proxy";
    assert.is(registration, isProxy ? "/run/secrets/registration" : undefined, name);
    assert.equal(secrets, isProxy ? ["registration"] : undefined, name);
    assert.equal(profiles, isProxy ? ["proxy"] : undefined, name);
  }
});

deployment("volumes and dependencies are declared, and no services share a volume", () => {
  const used = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(":")[0]!));
  assert.equal(used.sort(), Object.keys(compose.volumes).sort());
  for (const [, { depends_on = {} }] of services) {
    for (const other of Object.keys(depends_on)) assert.ok(compose.services[other], other);
  }
  for (const [name, { volumes, environment }] of services) {
    const hasState = name.startsWith("nats-") || environment.TIDEMARK_ROLES === "worker";
    assert.is(volumes !== undefined, hasState, `${name} has a volume only if it has state`);
  }
});

deployment("ports and health checks are those of the configuration", () => {
  assert.match(conf, /^listen: "0\.0\.0\.0:4222"$/m);
  assert.match(conf, /^http: "127\.0\.0\.1:8222"$/m);
  assert.match(conf, /listen: "0\.0\.0\.0:6222"/);
  for (const [, { environment, healthcheck }] of brokers) {
    assert.match(environment.NATS_ROUTES!, /^\[nats:\S+@nats-1:6222, nats:\S+@nats-2:6222, nats:\S+@nats-3:6222\]$/);
    assert.match(healthcheck.test.join(" "), "http://127.0.0.1:8222/healthz");
  }
  assert.match(read("Dockerfile"), "TIDEMARK_HTTP=0.0.0.0:8080");
  for (const [, { healthcheck }] of processes) assert.match(healthcheck.test.join(" "), "127.0.0.1:8080/readyz");
  for (const [, { environment }] of processes) assert.is(environment.TIDEMARK_METRICS, "0.0.0.0:9464");
  const { gateway, proxy } = compose.services;
  const ports = [...gateway!.ports!, ...proxy!.ports!];
  assert.equal(ports, ["127.0.0.1:8080:8080", "127.0.0.1:8081:8080"], "and metrics are not published");
});

deployment("the images are built from existing files, and run as an unprivileged user", () => {
  const targets = stages();
  for (const [, { build }] of services) assert.ok(targets.has(build.target), build.target);
  const ignore = read(".dockerignore").split("\n");
  for (const [, sources] of read("Dockerfile").matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const source of sources!.split(" ")) {
      assert.ok(existsSync(join(ROOT, source)), source);
      assert.ok(ignore.includes(`!${source}`), `${source} is in the build context`);
    }
  }
  for (const target of ["nats", "tidemark"]) {
    assert.match(targets.get(target)!, /^USER 1000:1000$/m);
    assert.match(targets.get(target)!, /^VOLUME \/data$/m);
    assert.match(targets.get(target)!, /mkdir \/data && chown 1000:1000 \/data/);
  }
  assert.match(read("Dockerfile"), /^FROM nats:2\.1[2-9]/m);
  const { scripts, bin } = JSON.parse(read("package.json"));
  assert.match(targets.get("build")!, "npm run build:program");
  assert.match(scripts["build:program"], /\btsc -p tsconfig\.build\.json\b/);
  assert.match(targets.get("tidemark")!, bin.tidemark);
});

deployment("the configuration is hardened", () => {
  assert.not.match(conf, "no_auth_user");
  assert.match(conf, /^ {2}sync_interval: always$/m);
  assert.match(conf, /cluster \{[^}]*authorization/);
  assert.match(read("nats.conf"), /# {3}ca_file:/);
  assert.not.match(conf, /allow: \[?">"/);
});

deployment.run();
