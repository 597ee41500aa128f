import type { StateAt } from "../../replay/history/inspect.ts";
import { useAnswer } from "./answer.ts";
import type { Point } from "./link.ts";
import type { Source } from "./page-source.ts";
import type { Seek } from "./scrubber.tsx";
import { timeText } from "./words.ts";

interface WhyPanelProps {
  readonly source: Source;
  readonly room: string;
  readonly state: StateAt;
  readonly point: Point;
  readonly revision: number;
  readonly go: (change: Partial<Point>) => void;
  readonly onSeek: Seek;
}

/** Explains why an event is read or unread for a user at this point. */
export function WhyPanel({ source, room, state, point, revision, go, onSeek }: WhyPanelProps) {
  const { user, event } = point;
  const asked = user !== null && event !== null;
  const { answer, error } = useAnswer(
    source,
    room,
    asked ? { op: "why", user, event, position: state.position } : null,
    revision,
  );
  const submit = (submitted: SubmitEvent) => {
    submitted.preventDefault();
    const form = new FormData(submitted.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim() || null;
    go({ user: text("user"), event: text("event") });
  };
  return (
    <section class="card why" aria-label="Why">
      <h3>Why is it read or unread?</h3>
      <form onSubmit={submit}>
        <label>
          User <input name="user" list="users" value={user ?? ""} required />
        </label>
        <datalist id="users">
          {state.users.map(({ user }) => (
            <option key={user} value={user} />
          ))}
        </datalist>
        <label>
          Event <input name="event" value={event ?? ""} placeholder="$…, a prefix is enough" required />
        </label>
        <button type="submit">Why?</button>
      </form>
      <div aria-live="polite">
        {error !== undefined && <p role="alert">{error}</p>}
        {answer !== undefined && (
          <>
            <p class={`verdict ${answer.verdict}`}>{answer.answer}</p>
            {answer.because.map((line) => (
              <p key={line}>{line}</p>
            ))}
            {answer.entries.length > 0 && (
              <ol class="led">
                {answer.entries.map(({ position, at, text }) => (
                  <li key={`${position} ${text}`}>
                    <button type="button" class="link" title={timeText(at)} onClick={() => onSeek({ position })}>
                      {position}
                    </button>{" "}
                    {text}
                  </li>
                ))}
              </ol>
            )}
          </>
        )}
      </div>
    </section>
  );
}
