import { useEffect, useState } from "preact/hooks";
import type { StateAt } from "../../replay/history/inspect.ts";
import { OUTCOMES, type OutcomeName, type Step } from "../../replay/history/step.ts";
import { useAnswer } from "./answer.ts";
import type { Source } from "./page-source.ts";
import type { Seek } from "./scrubber.tsx";
import { TableHead } from "./table-head.tsx";
import { shortUser, stepChanges, stepWhat, timeText } from "./words.ts";

const ROWS = 30;

interface EntriesTableProps {
  readonly source: Source;
  readonly room: string;
  readonly state: StateAt;
  readonly revision: number;
  readonly onSeek: Seek;
  readonly onWhy: (event: string) => void;
}

interface Filter {
  readonly user: string;
  readonly event: string;
  readonly thread: string;
  readonly outcome: OutcomeName | "";
}

interface Page {
  readonly direction: "until" | "from";
  readonly position: number;
}

const NO_FILTER: Filter = { user: "", event: "", thread: "", outcome: "" };

/** The entries up to this point, newest last, with buttons for older and newer pages. */
export function EntriesTable({ source, room, state, revision, onSeek, onWhy }: EntriesTableProps) {
  const [filter, setFilter] = useState(NO_FILTER);
  const [page, setPage] = useState<Page>({ direction: "until", position: state.position });
  useEffect(() => setPage({ direction: "until", position: state.position }), [state.position]);
  const { user, event, thread, outcome } = filter;
  const { answer, error } = useAnswer(
    source,
    room,
    {
      op: "entries",
      ...page,
      limit: ROWS,
      filter: {
        ...(user !== "" && { user }),
        ...(event !== "" && { event }),
        ...(thread !== "" && { thread }),
        ...(outcome !== "" && { outcome }),
      },
    },
    revision,
  );
  const change = (name: keyof Filter) => (input: { readonly currentTarget: { readonly value: string } }) =>
    setFilter((before) => ({ ...before, [name]: input.currentTarget.value }));
  const steps = answer?.steps ?? [];
  return (
    <section class="card entries" aria-label="Entries">
      <h3>Entries</h3>
      <div class="filters">
        <label>
          User <input value={user} list="users" onInput={change("user")} />
        </label>
        <label>
          Event <input value={event} placeholder="$…" onInput={change("event")} />
        </label>
        <label>
          Thread <input value={thread} placeholder="main or $…" onInput={change("thread")} />
        </label>
        <label>
          Outcome{" "}
          <select value={outcome} onChange={change("outcome")}>
            <option value="">all</option>
            {OUTCOMES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => setFilter(NO_FILTER)}>
          Clear
        </button>
      </div>
      {error !== undefined && <p role="alert">{error}</p>}
      <div class="scroll">
        <table class="cards">
          <TableHead columns={["Time (UTC)", "Position", "Outcome", "User", "What", "Change"]} />
          <tbody>
            {steps.map((step) => (
              <EntryRow
                key={step.position}
                step={step}
                current={step.position === state.position}
                onSeek={onSeek}
                onWhy={onWhy}
              />
            ))}
          </tbody>
        </table>
      </div>
      {answer !== undefined && steps.length === 0 && <p>No such entry up to this point.</p>}
      <div class="bar">
        <button
          type="button"
          disabled={!answer?.before}
          onClick={() => setPage({ direction: "until", position: steps[0] === undefined ? 0 : steps[0].position - 1 })}
        >
          Older
        </button>
        <button
          type="button"
          disabled={!answer?.after}
          onClick={() => setPage({ direction: "from", position: (steps.at(-1)?.position ?? state.position) + 1 })}
        >
          Newer
        </button>
      </div>
    </section>
  );
}

interface EntryRowProps {
  readonly step: Step;
  readonly current: boolean;
  readonly onSeek: Seek;
  readonly onWhy: (event: string) => void;
}

function EntryRow({ step, current, onSeek, onWhy }: EntryRowProps) {
  return (
    <tr class={current ? "selected" : ""} aria-current={current ? "true" : undefined}>
      <td data-label="Time" class="number">
        {timeText(step.at).slice(11)}
      </td>
      <td data-label="Position">
        <button type="button" class="link" onClick={() => onSeek({ position: step.position })}>
          {step.position}
        </button>
      </td>
      <td data-label="Outcome">
        <span class={`outcome ${step.outcome}`}>{step.outcome}</span>
      </td>
      <td data-label="User" title={step.user}>
        {shortUser(step.user)}
      </td>
      <td data-label="What">
        <button type="button" class="link" title={`why ${step.event}?`} onClick={() => onWhy(step.event)}>
          {stepWhat(step)}
        </button>
      </td>
      <td data-label="Change">{stepChanges(step).join("; ")}</td>
    </tr>
  );
}
