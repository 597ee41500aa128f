/** Questions about a partition that is given up while their answers are read (docs/design.md#queries). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Queries } from "../../../src/worker/queries/queries.ts";
import { decoded, pack, startBus, token } from "../../support/harness.ts";
import { logged } from "../../support/logged.ts";

const ROOM = "!r:a.org";
const QUESTION = { op: "orders", event_ids: ["$1"] };

/** A partition whose store is closed when a room is read: it was given up just before. */
function givenUp(onRead: () => void) {
  return {
    position: 0,
    roomsOf: () => new Map(),
    hasChanged: () => false,
    room: (): never => {
      onRead();
      throw new Error("the store is closed");
    },
  };
}

const queries = suite("queries about a partition that was given up");

queries("are answered by the worker that has it now", async () => {
  await using bus = await startBus();
  const { log, lines } = logged();
  let isServed = true;
  const partition = givenUp(() => {
    isServed = false;
  });
  const here = new Queries({ nc: bus.nc, partitions: 1, served: () => (isServed ? partition : undefined), log });
  const answered = { ok: true, orders: { $1: 7 }, position: 1 };
  bus.nc.subscribe("tidemark.owner.0.>", { callback: (_, message) => message.respond(pack(answered)) });
  await bus.nc.flush();
  assert.equal(await bus.query(ROOM, QUESTION), answered);
  assert.equal(lines, []);
  await here.close();
});

queries("that another worker has forwarded are refused, to be asked again", async () => {
  await using bus = await startBus();
  const { log, lines } = logged();
  let isServed = true;
  const partition = givenUp(() => {
    isServed = false;
  });
  const here = new Queries({ nc: bus.nc, partitions: 1, served: () => (isServed ? partition : undefined), log });
  here.own();
  await bus.nc.flush();
  const reply = await bus.nc.request(`tidemark.owner.0.${token(ROOM)}`, pack(QUESTION));
  assert.is(decoded(reply.data).errcode, "M_UNKNOWN");
  assert.equal(lines, []);
  await here.close();
});

queries("that fail for another reason are still an error of this process", async () => {
  await using bus = await startBus();
  const { log, lines } = logged();
  const partition = givenUp(() => {});
  const here = new Queries({ nc: bus.nc, partitions: 1, served: () => partition, log });
  await bus.nc.flush();
  assert.is((await bus.query(ROOM, QUESTION)).ok, false);
  assert.equal(
    lines.map(({ msg }) => msg),
    ["a query failed unexpectedly"],
  );
  await here.close();
});

queries.run();
