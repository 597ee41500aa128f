/** The progress bar. */
import { PassThrough } from "node:stream";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Progress } from "../../src/commands/progress.ts";

function terminal(isTTY: boolean) {
  const stream = new PassThrough();
  const nothing = () => true;
  Object.assign(stream, { isTTY, columns: 80, cursorTo: nothing, clearLine: nothing, moveCursor: nothing });
  return stream as PassThrough & NodeJS.WriteStream;
}

/** Everything that was written, in however many pieces the stream gives it. */
function written(stream: PassThrough): string {
  const pieces: Buffer[] = [];
  for (let piece = stream.read(); piece !== null; piece = stream.read()) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function replaying(stream: ReturnType<typeof terminal>) {
  const clock = { now: 0 };
  return { bar: new Progress("replaying", { stream, now: () => clock.now }), stream, clock };
}

const progress = suite("progress");

progress("is shown once the work takes longer than a second", () => {
  const { bar, stream, clock } = replaying(terminal(true));
  clock.now = 900;
  bar.update(10, 100);
  assert.is(written(stream), "");
  clock.now = 1_100;
  bar.update(50, 100);
  assert.match(written(stream), /replaying .*50%/);
  bar.stop();
});

progress("is not shown without a terminal", () => {
  const { bar, stream, clock } = replaying(terminal(false));
  clock.now = 5_000;
  bar.update(50, 100);
  bar.stop();
  assert.is(written(stream), "");
});

progress.run();
