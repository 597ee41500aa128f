import { useEffect, useRef, useState } from "preact/hooks";
import type { Answers, InspectRequest } from "../../replay/history/inspect.ts";
import type { Source } from "./page-source.ts";

export interface Asked<T> {
  /** The newest answer. The previous one is kept until it arrives. */
  readonly answer: T | undefined;
  readonly error: string | undefined;
}

type Op = Exclude<InspectRequest["op"], "summary">;

/**
 * A hook that sends a request about a room, again whenever the request or `revision` changes. There is one request at a
 * time: of those that are made in the meantime (while the scrubber is dragged), only the last one is sent.
 */
export function useAnswer<O extends Op>(
  source: Source,
  room: string,
  request: Extract<InspectRequest, { op: O }> | null,
  revision: number,
): Asked<Answers[O]> {
  const [asked, setAsked] = useState<Asked<Answers[O]>>({ answer: undefined, error: undefined });
  const busy = useRef(false);
  const next = useRef<(() => Promise<void>) | undefined>(undefined);
  const key = `${room} ${JSON.stringify(request)}`;
  useEffect(() => {
    let current = true;
    if (request === null) {
      setAsked({ answer: undefined, error: undefined });
      return;
    }
    next.current = async () => {
      if (!current) return;
      try {
        const answer = (await source.ask(room, request as never)) as Answers[O];
        if (current) setAsked({ answer, error: undefined });
      } catch (error) {
        if (current)
          setAsked(({ answer }) => ({ answer, error: error instanceof Error ? error.message : String(error) }));
      }
    };
    void work(busy, next);
    return () => {
      current = false;
    };
  }, [source, key, revision]);
  return asked;
}

async function work(busy: { current: boolean }, next: { current: (() => Promise<void>) | undefined }): Promise<void> {
  if (busy.current) return;
  busy.current = true;
  for (let task = next.current; task !== undefined; task = next.current) {
    next.current = undefined;
    await task();
  }
  busy.current = false;
}
