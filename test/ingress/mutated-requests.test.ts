/** Requests that are changed at one place (docs/design.md#requests): each is stored as a whole, or refused without a trace. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { REQUESTS, type RequestKind } from "../../src/bus/contract/requests.ts";
import { type Body, decoded, message, pack, receipt, startTidemark, token } from "../support/harness.ts";
import { mutated, mutationAt, type Path, pathsOf } from "../support/mutations.ts";
import { checkAsync } from "../support/property.ts";

const ROOM = "!fuzzed:a.org";
const KINDS = (Object.keys(REQUESTS) as RequestKind[]).filter((kind) => kind !== "edu");
const ITEMS = 3;

type Kind = (typeof KINDS)[number];

/** Items that differ between cases, so that their entries are told apart. */
function itemsOf(kind: Kind, id: string): Record<string, unknown>[] {
  return Array.from({ length: ITEMS }, (_, i) => {
    if (kind === "receipt") return receipt(`@${i}:a.org`, `$${id}`, { thread_id: "main" });
    const content = { body: "text", nested: { list: [1, { a: 2 }] } };
    return message(`$${id}-${i}`, { state_key: `${i}`, content, unsigned: { prev_content: { a: [1] } } });
  });
}

/** What tells an entry from others. */
function nameOf([kind, ...rest]: Body): string {
  return kind === 2 ? [rest[0], rest[2]].join() : rest[0].event_id;
}

const namesOf = (kind: Kind, id: string) =>
  Array.from({ length: ITEMS }, (_, i) => (kind === "receipt" ? `@${i}:a.org,$${id}` : `$${id}-${i}`));

/** Whether the place is inside what an event is never refused for. */
const isInContent = (kind: Kind, path: Path) =>
  kind !== "receipt" && path.length > 2 && ["content", "unsigned"].includes(path[1]!);

const fuzzed = suite("a request that is changed at one place");

fuzzed("is stored as a whole or refused without a trace, and leaves its neighbours alone", async () => {
  await using tidemark = await startTidemark();
  let stored: string[] = [];
  tidemark.nc.subscribe("tidemark.log.*.*", {
    callback: (_, { data }) => stored.push(...decoded(data)[2].map(nameOf)),
  });
  await tidemark.nc.flush();
  const outcomes = new Map<boolean, number>();
  let sent = 0;
  await checkAsync(
    fc.asyncProperty(
      fc.constantFrom(...KINDS).chain((kind) => fc.tuple(fc.constant(kind), mutationAt(pathsOf(itemsOf(kind, "id"))))),
      fc.boolean(),
      async ([kind, mutation], isJson) => {
        stored = [];
        const id = `fuzz${sent++}`;
        const body = mutated(itemsOf(kind, id), mutation);
        const [raw, before] = await Promise.all([
          tidemark.request(
            `tidemark.in.${kind}.${token(ROOM)}`,
            isJson ? Buffer.from(JSON.stringify(body)) : pack(body),
          ),
          tidemark.send("receipt", ROOM, itemsOf("receipt", `${id}-honest`)),
        ]);
        assert.is(before.ok, true);
        await tidemark.sent("event", ROOM, itemsOf("event", `${id}-honest`));
        await tidemark.nc.flush();

        const { ok, errcode, error } = decoded(raw);
        outcomes.set(ok, (outcomes.get(ok) ?? 0) + 1);
        const times = (name: string) => stored.filter((other) => other === name).length;
        for (const honest of ["receipt", "event"] as const) {
          for (const name of namesOf(honest, `${id}-honest`)) assert.is(times(name), 1, name);
        }
        const own = stored.length - 2 * ITEMS;
        if (ok) {
          const untouched = namesOf(kind, id).filter((_, i) => `${i}` !== mutation.path[0]);
          for (const name of untouched) assert.is(times(name), 1, name);
          assert.ok(own === ITEMS || (mutation.path.length === 1 && own === ITEMS - 1), `${own} entries`);
        } else {
          assert.is(own, 0, "nothing of it is stored");
          assert.ok(["M_BAD_JSON", "M_INVALID_PARAM", "M_TOO_LARGE"].includes(errcode), error);
          assert.not.ok(isInContent(kind, mutation.path), error);
        }
      },
    ),
    { numRuns: 100 },
  );
  assert.ok((outcomes.get(true) ?? 0) > 20 && (outcomes.get(false) ?? 0) > 20, JSON.stringify([...outcomes]));
  assert.is((await fetch(`${tidemark.httpUrl}/readyz`)).status, 200);
});

fuzzed.run();
