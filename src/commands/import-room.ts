/** `tidemark import-room`: imports an existing room from a homeserver. */
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError, Option } from "commander";
import { connectBus } from "../bus/client/connection.ts";
import { closeBus } from "../bus/client/gathered-writes.ts";
import { partitionCount } from "../bus/partition-count.ts";
import { HomeserverClient } from "../homeserver/homeserver-client.ts";
import { IMPORT_DEPTH_DEFAULT, importRoom } from "../homeserver/room-import.ts";
import { type RoomId, roomId } from "../matrix/ids.ts";
import { httpUrl, integer, natsOption } from "./options.ts";
import { print } from "./output.ts";
import { visibleLine } from "./visible-text.ts";

export function importRoomCommand(): Command {
  return new Command("import-room")
    .description("import a room's state and history from a homeserver; can be interrupted and repeated")
    .argument("<room>", "the room id", room)
    .addOption(natsOption().makeOptionMandatory())
    .addOption(
      new Option("--homeserver <url>", "the URL of its client-server API, http(s)://host:port")
        .env("TIDEMARK_HOMESERVER")
        .argParser(httpUrl)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--token <token>", "the access token of a user who is in the room, or an as_token with --user")
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
    .action(async (id: RoomId, { nats, homeserver: url, token, user, depth }) => {
      const bar = new SingleBar({
        format: "{bar} {percentage}% {events} events{pause}",
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      });
      const nc = await connectBus({ url: nats, name: "tidemark import-room" });
      try {
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
      } finally {
        bar.stop();
        await closeBus(nc);
      }
    });
}

function room(text: string): RoomId {
  const parsed = roomId.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("must be a room id, !opaque:server.");
  return parsed.data;
}
