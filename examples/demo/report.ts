/** The output of the demo: the outcomes of all entries, and whether the sources agree. */
import { FULLY_READ } from "../../src/matrix/receipt-types.ts";
import { named, type Placed } from "./comparison.ts";
import type { Deltas } from "./deltas.ts";
import type { Refold } from "./refold.ts";
import type { Sample } from "./samples.ts";
import type { Session } from "./session.ts";
import { bold, dim, green, print, red } from "./terminal.ts";
import type { Findings } from "./verdict.ts";
import { grouped, plural } from "./words.ts";

const DIFFERENCES_SHOWN_MAX = 20;

/** The usual outcomes, in the order in which they are printed. Any others follow. */
const USUAL = ["ordered", "advanced", "released", "stale", "wrong_thread", "held"];
const MEANING: Readonly<Record<string, string>> = {
  ordered: "an event got its order, which never changes",
  advanced: "a receipt moved its user's marker",
  released: "a held receipt did, when its event arrived",
  stale: "the marker was already further",
  wrong_thread: "the event is not in the receipt's thread",
  held: "the event never arrived: held until it does",
};

export function reportSession({ deliveries, events, receipts, rooms, users }: Session, late: number): void {
  print(bold("A session recorded from a Synapse homeserver, replayed over NATS"));
  const arrival = late === 0 ? "in order of arrival" : `every transaction ${plural(late, "line")} late`;
  print(`  ${plural(rooms.size, "room")}, ${plural(users.size, "user")}, ${arrival}`);
  print(`  ${plural(events.length, "event")}, ${plural(receipts, "receipt")}, ${plural(deliveries.length, "request")}`);
  print();
  print(bold("Some of the deltas, as they are published"));
}

export function reportSample({ subject, what }: Sample): void {
  print(dim(`  ${subject}`));
  print(`    ${what}`);
}

export function reportDeltas({ counts, privateReceipts }: Deltas): void {
  const { events, receipts, private: own, rejected } = counts;
  print();
  print(bold("Published"));
  print(
    `  ${plural(events, "message")} of events, ${grouped(receipts)} of receipts, ${grouped(rejected)} of rejections`,
  );
  print(`  ${plural(own, "message")} to one user each: ${plural(privateReceipts, "receipt")} that nobody else gets`);
}

export function reportOutcomes({ outcomes, waited }: Refold): void {
  print();
  print(bold("The outcome of every event and receipt"));
  const others = [...outcomes.keys()].filter((name) => !USUAL.includes(name));
  for (const name of [...USUAL, ...others]) {
    const { count, example } = outcomes.get(name) ?? { count: 0, example: "" };
    print(`  ${name.padEnd(13)}${grouped(count).padStart(6)}  ${MEANING[name] ?? ""}`);
    if (example !== "") print(dim(`${" ".repeat(23)}${example}`));
  }
  const held = outcomes.get("held")?.count ?? 0;
  print(`  ${plural(waited, "receipt")} had to be held; the events of ${grouped(waited - held)} arrived later`);
}

export function reportComparison(findings: Findings): void {
  print();
  print(bold("Compared with Synapse's own database"));
  print(dim(row("", "Synapse", "snapshots", "log again", "")));
  const { events, live, again } = findings;
  print(
    row("events in order", grouped(events.wanted), grouped(events.live), grouped(events.again), mark(events.equal)),
  );
  for (const [what, is] of [
    ["receipt markers", (marker: Placed) => marker.type !== FULLY_READ],
    ["fully-read markers", (marker: Placed) => marker.type === FULLY_READ],
  ] as const) {
    const of = (markers: Iterable<Placed>) => [...markers].filter(is).length;
    const covered = of(live.covered);
    const wanted = of(findings.wanted);
    const shown = of(live.equal);
    const refolded = of(again.equal);
    const equal = shown + covered === wanted && refolded + of(again.covered) === wanted;
    print(
      row(
        what,
        grouped(wanted),
        `${grouped(shown)}${covered > 0 ? ` + ${covered}` : ""}`,
        grouped(refolded),
        mark(equal),
      ),
    );
  }
  for (const marker of live.covered) {
    print(`  + ${named(marker)}`);
    print("    An unthreaded receipt of the same user and type is at the same event. There");
    print("    is room for one: the unthreaded one, which covers the other (MSC4102).");
  }
  print(
    `  ${mark(findings.replayDifferences === 0)} the log, folded again, gives the same orders and markers as the live run`,
  );
  print(`  ${mark(findings.promisesBroken === 0)} no delta is missing, and no private receipt reached anybody else`);
  print();
}

export function reportVerdict(
  differences: readonly string[],
  { late, seconds }: { late: number; seconds: number },
): void {
  if (differences.length === 0) {
    print(green(bold(`All equal, in ${seconds.toFixed(1)} s.`)));
    if (late === 0) print(dim("Now with events that arrive after their receipts: npm run demo -- --late 40"));
    return;
  }
  print(red(bold(`${plural(differences.length, "difference")}:`)));
  for (const difference of differences.slice(0, DIFFERENCES_SHOWN_MAX)) print(`  ${difference}`);
  const more = differences.length - DIFFERENCES_SHOWN_MAX;
  if (more > 0) print(`  and ${grouped(more)} more`);
}

function row(...[what, synapse, snapshots, again, verdict]: readonly [string, string, string, string, string]): string {
  return `  ${what.padEnd(20)}${synapse.padStart(9)}${snapshots.padStart(13)}${again.padStart(13)}   ${verdict}`.trimEnd();
}

function mark(equal: boolean): string {
  return equal ? green("✓") : red("✗");
}
