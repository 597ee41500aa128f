/** `tidemark import-room`: imports an existing room from a homeserver. */
import { SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, Option } from "commander";
import { partitionCount } from "../bus/partition-count.ts";
import { HomeserverClient } from "../homeserver/homeserver-client.ts";
import { IMPORT_DEPTH_DEFAULT, importRoom } from "../homeserver/room-import.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { busCommand, withBus } from "./bus.ts";
import { httpUrl, integer, SECRET_HINT } from "./options.ts";
import { print } from "./output.ts";
import { visibleLine } from "./visible-text.ts";

export function importRoomCommand(): Command {
  return busCommand(
    "import-room",
    "import a room's state and history from a homeserver; can be interrupted and repeated",
  )
    .argument("<room>", "the room id", room)
    .addOption(
      new Option("--homeserver <url>", "the URL of its client-server API, http(s)://host:port")
        .env("TIDEMARK_HOMESERVER")
        .argParser(httpUrl)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        "--token <token>",
        `the access token of a user who is in the room, or an as_token with --user. ${SECRET_HINT}`,
      )
        .env("TIDEMARK_TOKEN")
        .makeOptionMandatory(),
    )
    .addOption(new Option("--user <id>", "the user to act as, with an as_token").env("TIDEMARK_USER"))
    .addOption(
      new Option(
        "--depth <events>",
        "how many of the room's newest events may be unread; everybody has read older ones",
      )
        .env("TIDEMARK_DEPTH")
        .argParser(integer(0, Number.MAX_SAFE_INTEGER))
        .default(IMPORT_DEPTH_DEFAULT),
    )
    .action(async (id: RoomId, { homeserver: url, token, user, depth, ...bus }) => {
      const bar = new SingleBar({
        format: "{bar} {percentage}% {events} events{pause}",
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      });
      await withBus(bus, async (nc) => {
        await partitionCount(nc); // says so if there is no log yet
        bar.start(1, 0, { events: 0, pause: "" });
        const homeserver = new HomeserverClient({
          url,
          token,
          user,
          onPause: (ms, reason) =>
            bar.update({ pause: ` · waiting ${Math.ceil(ms / 1_000)} s: ${visibleLine(reason)}` }),
        });
        const { state, events } = await importRoom({
          nc,
          homeserver,
          room: id,
          depth,
          onProgress: ({ events, done }) => bar.update(done, { events, pause: "" }),
        });
        bar.stop();
        print(`imported ${id}: ${state} state events, ${events} events of its history`);
      }).finally(() => bar.stop());
    });
}

function room(text: string): RoomId {
  const parsed = roomId.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("must be a room id, !opaque:server.");
  return parsed.data;
}
