import type { InspectRequest, StateAt } from "../../replay/history/inspect.ts";
import { number, stepChanges, stepWhat, timeText } from "./words.ts";

export type Seek = (request: Omit<Extract<InspectRequest, { op: "state" }>, "op">) => void;

interface ScrubberProps {
  readonly state: StateAt;
  /** The index that was requested last. Keys may be faster than answers. */
  readonly requested: number | undefined;
  readonly onSeek: Seek;
}

/** A slider that moves through the log. The arrow keys move by one entry. */
export function Scrubber({ state, requested, onSeek }: ScrubberProps) {
  const { steps, position, at, step } = state;
  const index = requested ?? state.index;
  return (
    <section class="scrubber" aria-label="Point in the log">
      <button
        type="button"
        aria-label="Previous entry"
        disabled={index === 0}
        onClick={() => onSeek({ index: index - 1 })}
      >
        ‹
      </button>
      <input
        type="range"
        min={0}
        max={Math.max(0, steps - 1)}
        value={index}
        aria-label="Entry"
        aria-valuetext={`entry ${index + 1} of ${steps}, position ${position}`}
        onInput={(event) => onSeek({ index: event.currentTarget.valueAsNumber })}
      />
      <button
        type="button"
        aria-label="Next entry"
        disabled={index >= steps - 1}
        onClick={() => onSeek({ index: index + 1 })}
      >
        ›
      </button>
      <p class="now">
        <strong>{timeText(at)}</strong> UTC · position <strong>{position}</strong> · entry {number(state.index + 1)} of{" "}
        {number(steps)}
        {step !== null && (
          <>
            {" · "}
            <span class={`outcome ${step.outcome}`}>{step.outcome}</span> {step.user} {stepWhat(step)}{" "}
            {stepChanges(step).join(" ")}
          </>
        )}
      </p>
    </section>
  );
}
