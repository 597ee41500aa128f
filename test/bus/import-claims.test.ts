/** Which of several processes imports a room. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ImportClaims } from "../../src/bus/import-claims.ts";
import { roomId } from "../../src/matrix/ids.ts";
import { eventually, startTidemark } from "../support/harness.ts";

const ROOM = roomId.parse("!room:a.org");
const OTHER = roomId.parse("!other:a.org");

const claims = suite("claims of imports");

claims("are given to one process at a time, and by rooms", async () => {
  await using tidemark = await startTidemark();
  const [one, another] = [await ImportClaims.open(tidemark.nc), await ImportClaims.open(tidemark.nc)];
  for (let round = 0; round < 3; round++) {
    const claim = await one.take(ROOM);
    assert.ok(claim);
    assert.is(await another.take(ROOM), undefined);
    assert.is(await one.take(ROOM), undefined);
    const others = await another.take(OTHER);
    assert.ok(others);
    await claim.release();
    await others.release();
  }
  const taken = await Promise.all([one.take(ROOM), another.take(ROOM), one.take(ROOM)]);
  assert.is(taken.filter((claim) => claim !== undefined).length, 1);
  for (const claim of taken) await claim?.release();
});

claims("are taken over from a process that renews its own no more, and not before", async () => {
  await using tidemark = await startTidemark();
  const [renewing, impatient] = [
    await ImportClaims.open(tidemark.nc, 300),
    await ImportClaims.open(tidemark.nc, 1_500),
  ];
  const claim = await renewing.take(ROOM);
  assert.ok(claim);
  const row = async () => (await tidemark.jsm.streams.info("KV_tidemark_transactions")).state.last_seq;
  const before = await row();
  await eventually(async () => (await row()) >= before + 20, "it is renewed");
  assert.is(await impatient.take(ROOM), undefined);

  const silent = await ImportClaims.open(tidemark.nc, 3_600_000);
  const lost = await silent.take(OTHER);
  assert.ok(lost);
  const waiting = await ImportClaims.open(tidemark.nc, 100);
  assert.is(await waiting.take(OTHER), undefined, "it was just seen");
  let taken: Awaited<ReturnType<ImportClaims["take"]>>;
  await eventually(async () => {
    taken = await waiting.take(OTHER);
    return taken !== undefined;
  }, "it is taken over");
  await lost.release();
  assert.is(await silent.take(OTHER), undefined, "a lost claim frees nobody else's");
  await taken?.release();
  await claim.release();
});

claims.run();
