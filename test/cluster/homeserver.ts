/** The homeserver behind the proxies: of each room it answers with the newest events, without orders. */
import { createServer } from "node:http";
import { message } from "../support/harness.ts";
import { type Listening, listening } from "../support/scripted-homeserver.ts";

const NEWEST = 10;
const MESSAGES = /^\/_matrix\/client\/v3\/rooms\/([^/]+)\/messages/;

export class Homeserver {
  /** The ids of a room's events, oldest first. */
  eventsOf: (room: string) => readonly string[] = () => [];
  readonly #server = createServer(({ url }, response) => {
    const room = MESSAGES.exec(url ?? "")?.[1];
    response.setHeader("content-type", "application/json");
    if (room === undefined) response.writeHead(404).end(JSON.stringify({ errcode: "M_UNRECOGNIZED", error: "no" }));
    else response.end(JSON.stringify(this.#messages(decodeURIComponent(room))));
  });

  /** Starts to answer. */
  listen(): Promise<Listening> {
    return listening(this.#server);
  }

  #messages(room: string) {
    const chunk = this.eventsOf(room).slice(-NEWEST).toReversed();
    return { chunk: chunk.map((id) => message(id, { room_id: room })), start: "t2", end: "t1" };
  }
}
