/** Random traffic of a room that has the event `$1`: what is written in threads, and read there or unthreaded. */
import { type Entry, LIVE } from "../../actors/entry.ts";
import { inThread } from "./entries.ts";
import { event, receipt } from "./session-fold.ts";

type Step =
  /** Into the thread of this number; 0: into `main`. By a user of this server. */
  | { readonly write: number; readonly by: number }
  /** One of the events so far. */
  | { readonly read: number; readonly user: number; readonly threaded: boolean };

export class ThreadTraffic {
  /** By the number of the event. */
  readonly #threads = [undefined, "main"];

  entryOf(step: Step): Entry {
    if ("write" in step) {
      const thread = step.write === 0 ? "main" : `$root${step.write}`;
      const id = `$${this.#threads.length}`;
      this.#threads.push(thread);
      return [LIVE, event(id, { sender: `@u:s${step.by}.example`, ...(thread !== "main" && inThread(thread)) })];
    }
    const id = (step.read % (this.#threads.length - 1)) + 1;
    const thread = step.threaded ? this.#threads[id]! : null;
    return receipt(`$${id}`, { user: `@${step.user}:here.example`, thread });
  }
}
