/** The rooms of the scripted homeserver, for those who push them. */
export const ROOMS = 20;
/** Events of each room in a first `/sync`. */
export const SYNCED_EVENTS = 20;
/** Events of each room, and of a page of `/messages`. */
export const PAGE = 100;
export const MEDIA_BYTES = 268_435_456;

export const roomOf = (room: number) => `!proxied-${room}:bench.example.org`;

/** The ids are as long as those of current room versions. */
export function eventOf(room: number, n: number) {
  return {
    event_id: `$${`proxied-${room}-${n}-`.padEnd(43, "x")}`,
    type: "m.room.message",
    sender: `@user-${n % 10}:bench.example.org`,
    origin_server_ts: 1_795_000_000_000 + n,
    content: { msgtype: "m.text", body: "a message of a usual length, as people write them" },
  };
}
