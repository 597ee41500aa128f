/** A web worker that reads and folds an exported log, and answers the requests of the page. */
import { LOG_LINE_CHARS_MAX } from "../../limits.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { type InspectRequest, inspect } from "../../replay/history/inspect.ts";
import { RoomHistory } from "../../replay/history/room-history.ts";
import { stepOf } from "../../replay/history/step.ts";
import { linesOf } from "../../replay/lines.ts";
import { LogLineReader } from "../../replay/log-lines.ts";
import { Refold } from "../../replay/refold.ts";

export type FileQuestion =
  | { readonly file: File }
  | { readonly search: string }
  | { readonly room: string; readonly request: InspectRequest };

export type FileAnswer =
  | { readonly share: number }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string };

const GZIP_MAGIC = 0x1f8b;

const rooms = new Map<string, { readonly history: RoomHistory; records: number }>();

async function read(file: File): Promise<void> {
  let done = 0;
  const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      done += chunk.length;
      postMessage({ share: done / file.size } satisfies FileAnswer);
      controller.enqueue(chunk);
    },
  });
  const magic = new DataView(await file.slice(0, 2).arrayBuffer());
  const isCompressed = magic.byteLength === 2 && magic.getUint16(0) === GZIP_MAGIC;
  const bytes = file.stream().pipeThrough(counted);
  const text = (isCompressed ? bytes.pipeThrough(new DecompressionStream("gzip")) : bytes).pipeThrough(
    new TextDecoderStream(),
  );
  const reader = new LogLineReader();
  const refold = new Refold();
  for await (const line of linesOf(chunksOf(text), LOG_LINE_CHARS_MAX)) {
    const record = reader.read(line);
    if (record === undefined) continue;
    const history = record.room === undefined ? undefined : roomOf(record.room).history;
    refold.fold(record, (room, folded) => history?.add(stepOf(room, folded)));
  }
  reader.finish();
}

function roomOf(id: RoomId) {
  let room = rooms.get(id);
  if (room === undefined) {
    room = { history: new RoomHistory(id), records: 0 };
    rooms.set(id, room);
  }
  room.records++;
  return room;
}

/** Not all browsers can iterate over a ReadableStream. */
async function* chunksOf(stream: ReadableStream<string>): AsyncGenerator<string> {
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

async function answer(question: FileQuestion): Promise<unknown> {
  if ("file" in question) return await read(question.file);
  if ("search" in question) {
    const found = Array.from(rooms, ([room, { records }]) => ({ room, records }))
      .filter(({ room }) => room.includes(question.search))
      .sort((a, b) => b.records - a.records);
    return { rooms: found.slice(0, 100), total: found.length };
  }
  const room = rooms.get(question.room);
  if (room === undefined) throw new Error("the file has no such room");
  return inspect(room.history, question.request);
}

addEventListener(
  "message",
  async ({ data: { id, question } }: MessageEvent<{ id: number; question: FileQuestion }>) => {
    try {
      postMessage({ id, answer: await answer(question) } satisfies FileAnswer);
    } catch (error) {
      postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies FileAnswer);
    }
  },
);
