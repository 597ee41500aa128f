/**
 * How long the machine gave this process no time: a timer is late by so much. The processes under test get as little then, and no promise
 * of theirs is about that.
 */
const TICK_MS = 100;
/** A timer is always a little late. */
const LATE_MS = 50;

export interface Starvation {
  /** Ends the measurement. Returns the sum, ms. */
  end(): number;
}

export function measureStarvation(): Starvation {
  let starvedMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const lateMs = now - last - TICK_MS;
    if (lateMs > LATE_MS) starvedMs += lateMs;
    last = now;
  }, TICK_MS).unref();
  return {
    end: () => {
      clearInterval(timer);
      return starvedMs;
    },
  };
}
