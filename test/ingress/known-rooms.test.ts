/** Which rooms other servers may send receipts for, and what it costs to find that out. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { KnownRooms } from "../../src/ingress/known-rooms.ts";
import {
  IN_FLIGHT_BYTES_MAX,
  KNOWN_ROOM_MS,
  ROOM_QUESTIONS_MAX,
  ROOMS_ASKED_MAX,
  UNKNOWN_ROOM_MS,
} from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";

const roomOf = (i: number) => `!${i}:one.example` as RoomId;
const A = roomOf(0);

interface Asked {
  readonly room: RoomId;
  readonly answer: (isKnown: boolean) => void;
  readonly fail: (error: Error) => void;
}

/** Known rooms whose questions the test answers. */
function knownRooms() {
  const asked: Asked[] = [];
  const clock = { ms: 1, now: () => clock.ms };
  const rooms = new KnownRooms((room) => new Promise((answer, fail) => asked.push({ room, answer, fail })), clock);
  return { rooms, asked, clock };
}

const known = suite("known rooms");

known("are asked about once, however many receipts wait, and then for as long as the answer is kept", async () => {
  const { rooms, asked, clock } = knownRooms();
  const waiting = [rooms.has(A, 1), rooms.has(A, 1)];
  assert.is(asked.length, 1);
  asked[0]!.answer(true);
  assert.equal(await Promise.all(waiting), [true, true]);
  clock.ms += KNOWN_ROOM_MS - 1;
  assert.is(rooms.has(A, 1), true);
  clock.ms += 2;
  const again = rooms.has(A, 1);
  assert.is(asked.length, 2);
  asked[1]!.answer(true);
  assert.is(await again, true);
});

known("that the owner doesn't know are asked about again after a short time", async () => {
  const { rooms, asked, clock } = knownRooms();
  const first = rooms.has(A, 1);
  asked[0]!.answer(false);
  assert.is(await first, false);
  clock.ms += UNKNOWN_ROOM_MS - 1;
  assert.is(rooms.has(A, 1), false);
  clock.ms += 2;
  const second = rooms.has(A, 1);
  asked[1]!.answer(true);
  assert.is(await second, true);
});

known("are those with an event in the log, whatever their owner says", async () => {
  const { rooms, asked } = knownRooms();
  const first = rooms.has(A, 1);
  rooms.add(A);
  assert.is(rooms.has(A, 1), true);
  asked[0]!.answer(false);
  assert.is(await first, true);
  assert.is(rooms.has(A, 1), true);
  const refused = rooms.has(roomOf(1), 1);
  asked[1]!.answer(false);
  assert.is(await refused, false);
  rooms.add(roomOf(1));
  assert.is(rooms.has(roomOf(1), 1), true);
});

known("are a few at a time; the others wait for their turn", async () => {
  const { rooms, asked } = knownRooms();
  const count = ROOMS_ASKED_MAX * 3;
  const answers = Array.from({ length: count }, (_, i) => rooms.has(roomOf(i), 1));
  assert.is(asked.length, ROOMS_ASKED_MAX);
  for (let i = 0; i < count; i++) {
    asked[i]!.answer(i % 2 === 0);
    assert.is(await answers[i], i % 2 === 0);
    assert.ok(asked.length <= i + 1 + ROOMS_ASKED_MAX);
  }
  assert.equal(
    asked.map(({ room }) => room),
    Array.from({ length: count }, (_, i) => roomOf(i)),
  );
});

known("are all, beyond the rooms and the bytes that may wait", async () => {
  const { rooms, asked } = knownRooms();
  const waiting = Array.from({ length: ROOM_QUESTIONS_MAX }, (_, i) => rooms.has(roomOf(i), 1));
  assert.is(rooms.has(roomOf(-1), 1), true);
  assert.is(rooms.has(A, IN_FLIGHT_BYTES_MAX), true, "bytes");
  assert.instance(rooms.has(A, 1), Promise);
  for (let i = 0; i < ROOM_QUESTIONS_MAX; i++) {
    asked[i]!.answer(false);
    assert.is(await waiting[i], false);
  }
  assert.instance(rooms.has(roomOf(-1), IN_FLIGHT_BYTES_MAX - 1), Promise, "all bytes are free again");
  asked.at(-1)!.answer(false);
});

known("are all whose question fails, or has no answer in time, for a short time", async () => {
  const { rooms, asked, clock } = knownRooms();
  const [failed, unanswered] = [rooms.has(A, 1), rooms.has(roomOf(1), 1)];
  asked[0]!.fail(new Error("nobody"));
  assert.equal(await Promise.all([failed, unanswered]), [true, true]);
  assert.is(rooms.has(A, 1), true);
  asked[1]!.answer(false);
  assert.is(rooms.has(roomOf(1), 1), true, "an answer that comes too late");
  clock.ms += UNKNOWN_ROOM_MS + 1;
  const again = rooms.has(A, 1);
  asked[2]!.answer(false);
  assert.is(await again, false);
});

known.run();
