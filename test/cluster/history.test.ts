/** One short history, where everything else is tested. `npm run test:cluster` has the long ones, and every fault. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runHistory, startTestedCluster } from "./history.ts";

const SEED = 4;

const history = suite("history");

history("a cut between servers and a killed worker lose nothing, change no order and mislead no reader", async () => {
  // Proxies, as namespaces need rights that not every machine gives.
  await using tested = await startTestedCluster({ workers: 2, ingresses: 1, proxies: true });
  const faults = ["cut two servers from each other", "kill a worker"];
  const { injected, written, observed } = await runHistory(tested, { number: 0, seed: SEED, faults });
  assert.equal(
    injected.map(({ name }) => name),
    faults,
  );
  assert.ok(written > 100 && observed > 10, `${written} writes, ${observed} observations`);
});

history.run();
