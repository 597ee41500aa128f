/**
 * A homeserver that answers at once: `scripted-homeserver.ts`. Writes its URL when it is ready. What it costs is nearly nothing, so that
 * what a proxy in front of it adds can be seen.
 *
 * | path                       | answer                                          |
 * | -------------------------- | ----------------------------------------------- |
 * | `/sync?since=…&timeout=0`  | no news                                         |
 * | `/sync?since=…`            | never: a long poll                              |
 * | `/sync`                    | the newest events of all rooms, with receipts   |
 * | `/messages`                | 100 events                                      |
 * | `/receipt/…`               | accepted                                        |
 * | `/media/…`                 | many bytes                                      |
 * | `/waiting`                 | how many long polls have come                   |
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventOf, MEDIA_BYTES, PAGE, ROOMS, roomOf, SYNCED_EVENTS } from "./scripted-rooms.ts";

const CHUNK = Buffer.alloc(262_144, "x");

const events = (room: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({ ...eventOf(room, n), unsigned: { age: 1_000 } }));
const receipts = (room: number) => ({
  type: "m.receipt",
  content: { [eventOf(room, 0).event_id]: { "m.read": { "@reader:bench.example.org": { ts: 1 } } } },
});
const join = Object.fromEntries(
  Array.from({ length: ROOMS }, (_, room) => [
    roomOf(room),
    { timeline: { events: events(room, SYNCED_EVENTS), limited: true }, ephemeral: { events: [receipts(room)] } },
  ]),
);

const ANSWERS = {
  noNews: JSON.stringify({ next_batch: "s1", device_one_time_keys_count: { signed_curve25519: 50 } }),
  first: JSON.stringify({ next_batch: "s1", rooms: { join } }),
  messages: JSON.stringify({ start: "a", end: "b", chunk: events(0, PAGE) }),
  whoami: JSON.stringify({ user_id: "@reader:bench.example.org", device_id: "D" }),
};

function send(response: ServerResponse, body: string): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
}

function sendMedia(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": MEDIA_BYTES });
  let left = MEDIA_BYTES;
  const write = () => {
    while (left > 0) {
      left -= CHUNK.length;
      if (left <= 0) response.end(CHUNK);
      else if (!response.write(CHUNK)) return void response.once("drain", write);
    }
  };
  write();
}

/** Long polls that have come. */
let waiting = 0;

const server = createServer((request, response) => {
  const url = new URL(request.url!, "http://homeserver");
  request.resume();
  if (url.pathname.endsWith("/sync")) {
    if (!url.searchParams.has("since")) send(response, ANSWERS.first);
    else if (url.searchParams.get("timeout") === "0") send(response, ANSWERS.noNews);
    else waiting++;
  } else if (url.pathname === "/waiting") send(response, `${waiting}`);
  else if (url.pathname.endsWith("/messages")) send(response, ANSWERS.messages);
  else if (url.pathname.endsWith("/whoami")) send(response, ANSWERS.whoami);
  else if (url.pathname.includes("/media/")) sendMedia(response);
  else send(response, "{}");
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
