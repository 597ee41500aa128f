/** How a process ends at a signal (docs/design.md#the-command-line). */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli, startArgs } from "./support/cli-process.ts";
import { type Body, eventually, message, sequenceOf, startBus, token } from "./support/harness.ts";

const drain = suite("drain");

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  drain(`${signal} drains: every answered request is in the log, and published`, async () => {
    await using bus = await startBus();
    await using tidemark = runCli(startArgs(bus, "--partitions", "2"));
    await tidemark.ready;
    const deltas = bus.subscribe("tidemark.client.>");
    const accepted: [id: string, position: number][] = [];
    // Each sends until it gets no answer, so the last requests arrive during the drain.
    const sender = async (name: number) => {
      for (let i = 0; ; i++) {
        const id = `$${name}-${i}`;
        const subject = `tidemark.in.event.${token(`!r${name}:a.org`)}`;
        const reply = await bus.nc
          .request(subject, JSON.stringify(message(id)), { timeout: 2_000 })
          .catch(() => undefined);
        if (reply === undefined) return;
        const { ok, positions } = reply.json<Body>();
        if (ok) accepted.push([id, positions[0]]);
        if (accepted.length === 100) tidemark.kill(signal);
      }
    };
    await Promise.all([0, 1, 2, 3].map(sender));
    assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));
    assert.is(tidemark.stdout.length, 1);
    assert.ok(accepted.length >= 100);

    const stored = (await Promise.all([0, 1].map((partition) => bus.records(partition)))).flat();
    const published = deltas.messages.flatMap(({ body }) => body.events ?? []);
    for (const [id, position] of accepted) {
      const record = stored.find(
        ({ sequence, entries }) => sequence === sequenceOf(position) && entries[position % 1024]?.[1].event_id === id,
      );
      assert.ok(record, `${id} is in the log at ${position}`);
      assert.ok(
        published.some(({ event_id }) => event_id === id),
        `${id} is published`,
      );
    }
  });
}

drain("a second signal ends a hanging drain at once", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  await tidemark.ready;
  bus.pauseBroker();
  tidemark.kill("SIGTERM");
  await eventually(() => tidemark.stderr.some((line) => line.includes("stopping")), "the drain");
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 1);
  assert.not.match(tidemark.stderr.join("\n"), "aborted", "it did not wait for the drain's time limit");
});

drain("a process whose broker is away is done with the drain in time, and did nothing wrong", async () => {
  await using bus = await startBus();
  await using tidemark = runCli(startArgs(bus, "--partitions", "1"));
  await tidemark.ready;
  bus.pauseBroker();
  const isSaid = (words: string) => tidemark.stderr.some((line) => line.includes(words));
  await eventually(() => isSaid("the broker can't be reached"), "it is noticed");
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));
  assert.ok(isSaid("the drain is aborted, as the broker is away"));
});

drain("a process that has not started yet ends without waiting for it", async () => {
  await using bus = await startBus();
  const silent = createServer().listen(0, "127.0.0.1");
  silent.unref(); // An assertion that fails must not keep this process alive.
  await once(silent, "listening");
  const url = `nats://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await using tidemark = runCli(startArgs({ ...bus, url }));
  await once(silent, "connection");
  tidemark.kill("SIGTERM");
  assert.is(await tidemark.ended, 0, tidemark.stderr.join("\n"));
  assert.ok(tidemark.stderr.some((line) => line.includes("stopping before the start is complete")));
  assert.equal(tidemark.stdout, []);
  silent.close();
});

drain.run();
