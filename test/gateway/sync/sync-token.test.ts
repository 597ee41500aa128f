/** Sync tokens: what they carry, that nobody else can read or use them, and which can't be opened. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { SealingKey } from "../../../src/bus/sealing-keys.ts";
import { type SyncToken, SyncTokens } from "../../../src/gateway/sync/sync-token.ts";
import { TokenSeal } from "../../../src/gateway/sync/token-seal.ts";
import type { RoomId, UserId } from "../../../src/matrix/ids.ts";

const ROOM = "!r:a.org" as RoomId;
const BOB = "@bob:a.org" as UserId;

const place = (sequence: number, published: number) => ({ sequence, published, lineage: 7, memberships: [] });
const TOKEN: SyncToken = {
  places: [
    undefined,
    { sequence: 1_234_567, published: Number.MAX_SAFE_INTEGER, lineage: 2 ** 32 - 1, memberships: [5, 2 ** 50] },
    place(0, 0),
  ],
  owed: [
    { room: ROOM, since: 9 },
    { room: "!q:a.org" as RoomId, since: undefined },
  ],
};

/** The keys of one gateway. Others of its cluster may have more. */
function gateway(keys: SealingKey[], partitions = 3) {
  return new SyncTokens(
    new TokenSeal({
      get newest() {
        return keys.at(-1)!;
      },
      find: (id) => keys.find((key) => key.id === id),
    }),
    partitions,
  );
}
const key = (id: number): SealingKey => ({ id, key: Buffer.alloc(32, id + 1) });

const token = suite("sync token");

token("of one user is nothing to another", () => {
  const tokens = gateway([key(0)]);
  assert.is(tokens.read("@eve:a.org" as UserId, tokens.write(BOB, TOKEN)), undefined);
});

token("carries places, memberships and owed rooms to any gateway with its key", () => {
  const text = gateway([key(3)]).write(BOB, TOKEN);
  assert.match(text, /^s[\w-]+$/);
  assert.equal(gateway([key(3), key(4)]).read(BOB, text), TOKEN);
});

token("is read after its key was replaced, and not after the key is gone", () => {
  const keys = [key(0)];
  const tokens = gateway(keys);
  const text = tokens.write(BOB, TOKEN);
  keys.push(key(1));
  assert.equal(tokens.read(BOB, text), TOKEN);
  keys.shift();
  assert.is(tokens.read(BOB, text), undefined);
});

token("can't be opened after a change of any byte", () => {
  const tokens = gateway([key(0)]);
  const text = tokens.write(BOB, TOKEN);
  const bytes = Buffer.from(text.slice(1), "base64url");
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    assert.is(tokens.read(BOB, `s${changed.toString("base64url")}`), undefined, `byte ${at}`);
  }
});

token("that nobody sealed can't be opened", () => {
  const tokens = gateway([key(0)]);
  const long = `s${Buffer.alloc(200).toString("base64url")}`;
  for (const text of ["", "s", "s-", "t1.2_4.5~3_6", "sAAAA", "o12", long, `${tokens.write(BOB, TOKEN)}\n`]) {
    assert.is(tokens.read(BOB, text), undefined, text);
  }
});

token("tells nothing: equal contents differ, and its length doesn't depend on its numbers", () => {
  const tokens = gateway([key(0)], 2);
  const write = (sequence: number, published: number) =>
    tokens.write(BOB, { places: [place(sequence, published), place(1, 1)], owed: [] });
  assert.is.not(write(1, 1), write(1, 1));
  const lengths = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1].map((n) => write(n, n).length);
  assert.is(new Set(lengths).size, 1);
});

token("tells nothing by its length of memberships that others' traffic makes it forget", () => {
  const tokens = gateway([key(0)], 2);
  const write = (...counts: number[]) => {
    const memberships = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
    const places = counts.map((count) => ({ ...place(1, 1), memberships: memberships(count) }));
    const text = tokens.write(BOB, { places, owed: [] });
    assert.equal(tokens.read(BOB, text), { places, owed: [] });
    return text.length;
  };
  const lengths = [write(0, 0), write(1, 0), write(0, 1), write(8, 8), write(16, 0)];
  assert.is(new Set(lengths).size, 1, `${lengths}`);
  assert.ok(write(16, 1) > lengths[0]!);
});

token.run();
