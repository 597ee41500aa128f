/** `tidemark erase`: takes a user out of the rooms of a broker, as far as it goes, and says what remains. */
import { type Command, Option } from "commander";
import { type RoomId, roomId, type UserId, userId } from "../matrix/ids.ts";
import { eraseUser, type TracesInRoom } from "../replay/erase.ts";
import { type BusOptions, busCommand, parsedAs, withBus } from "./bus.ts";
import { Output } from "./output.ts";
import { Progress } from "./progress.ts";

interface EraseCommandOptions extends BusOptions {
  readonly events?: boolean;
  readonly room?: RoomId;
  readonly json?: true;
}

export function eraseCommand(): Command {
  return busCommand("erase", "forget a user: the receipts, and with --events the content of the user's events")
    .argument("<user>", "the user's id", parsedAs(userId))
    .addOption(new Option("--events", "take the content of the user's events, too, as a redaction does"))
    .addOption(new Option("--room <id>", "in one room alone").argParser(parsedAs(roomId)))
    .addOption(new Option("--json", "one JSON object per room, for tools"))
    .action(async (user: UserId, { events = false, room, json, ...bus }: EraseCommandOptions) => {
      const progress = new Progress("reading");
      const erased = await withBus(bus, (nc) =>
        eraseUser(nc, { user, events, room, before: Date.now(), onProgress: progress.update }),
      ).finally(() => progress.stop());
      const out = new Output();
      if (json) for (const traces of erased) out.json({ ...traces, events: [...traces.events] });
      else for (const line of summary(erased, events)) out.line(line);
      await out.flush();
    });
}

function* summary(erased: readonly TracesInRoom[], withEvents: boolean): Generator<string> {
  if (erased.length === 0) {
    yield "no log has anything of this user";
    return;
  }
  const count = (of: (traces: TracesInRoom) => number) => erased.reduce((sum, traces) => sum + of(traces), 0);
  yield `${erased.length} rooms: markers and held receipts are gone, from ${count(({ receipts }) => receipts)} receipts`;
  const events = count((traces) => traces.events.size);
  yield withEvents
    ? `the content of ${events} events is gone`
    : `${events} events are as they were: --events takes their content`;
  yield "What remains: ids, types, times and orders of the user's events, and who was a member when; the user's id in these, in others' events, and in the erasure itself;";
  yield "the receipts and the content in the log, in what was published in the last 24 hours, and in every copy of them.";
}
