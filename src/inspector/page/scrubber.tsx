import type { InspectRequest, StateAt } from "../../replay/history/inspect.ts";
import { number, stepChanges, stepWhat, timeText } from "./words.ts";

export type Seek = (request: Omit<Extract<InspectRequest, { op: "state" }>, "op">) => void;

interface ScrubberProps {
  readonly state: StateAt;
  /** Where it was moved to, ahead of the answer: keys come faster than answers. */
  readonly wanted: number | undefined;
  readonly onSeek: Seek;
}

/** Moves through the log, entry by entry with the arrow keys. */
export function Scrubber({ state, wanted, onSeek }: ScrubberProps) {
  const { steps, position, at, step } = state;
  const index = wanted ?? state.index;
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
