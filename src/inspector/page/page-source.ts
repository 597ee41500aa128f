/** The sources of the page: the server, or a log file that the browser folds itself. */
import type { Answers, InspectRequest, Summary } from "../../replay/history/inspect.ts";
import type { FileAnswer, FileQuestion } from "./file-worker.ts";

export interface ListedRoom {
  readonly room: string;
  readonly records: number;
}

export type RoomSummary = Summary & { readonly lag?: number | null };

export interface Source {
  /** Shown as the name of the source. */
  readonly name: string;
  list(search: string): Promise<{ readonly rooms: readonly ListedRoom[]; readonly total: number }>;
  summary(room: string): Promise<RoomSummary | null>;
  ask<Op extends Exclude<InspectRequest["op"], "summary">>(
    room: string,
    request: Extract<InspectRequest, { op: Op }>,
  ): Promise<Answers[Op]>;
  /** Calls `onGrown` when the room has grown, until the returned function is called. Only a live source has it. */
  readonly follow?: (room: string, onGrown: () => void) => () => void;
  close(): void;
}

/** The server requires the admin token. */
export class TokenRequired extends Error {}

export class LiveSource implements Source {
  readonly name = "live";

  async list(search: string) {
    return (await this.#get(`rooms?search=${encodeURIComponent(search)}`)) as Awaited<ReturnType<Source["list"]>>;
  }

  async summary(room: string) {
    return await this.#ask<RoomSummary | null>(room, { op: "summary" });
  }

  ask: Source["ask"] = (room, request) => this.#ask(room, request);

  readonly follow = (room: string, onGrown: () => void): (() => void) => {
    const events = new EventSource(`api/rooms/${encodeURIComponent(room)}/follow`);
    events.addEventListener("grown", onGrown);
    return () => events.close();
  };

  close(): void {}

  async #ask<T>(room: string, request: InspectRequest): Promise<T> {
    const path = `rooms/${encodeURIComponent(room)}?q=${encodeURIComponent(JSON.stringify(request))}`;
    return ((await this.#get(path)) as { answer: T }).answer;
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`api/${path}`);
    if (response.status === 401) throw new TokenRequired();
    const body = (await response.json()) as { error?: string };
    if (!response.ok) throw new Error(body.error ?? response.statusText);
    return body;
  }
}

/** Exchanges the token for a session cookie. Resolves to whether the token is correct. */
export async function login(token: string): Promise<boolean> {
  const response = await fetch("api/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return response.ok;
}

/** A log file, read and folded by a web worker. It is not sent to any server. */
export class FileSource implements Source {
  readonly name: string;
  readonly #worker: Worker;
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #count = 0;

  private constructor(file: File, onProgress: (share: number) => void) {
    this.name = file.name;
    this.#worker = new Worker(new URL("./file-worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FileAnswer>) => {
      if ("share" in data) {
        onProgress(data.share);
        return;
      }
      const pending = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      if ("error" in data) pending?.reject(new Error(data.error));
      else pending?.resolve(data.answer as never);
    };
  }

  /** Throws with the line and the reason if the file is damaged. */
  static async open(file: File, onProgress: (share: number) => void): Promise<FileSource> {
    const source = new FileSource(file, onProgress);
    try {
      await source.#ask({ file });
      return source;
    } catch (error) {
      source.close();
      throw error;
    }
  }

  list(search: string) {
    return this.#ask<Awaited<ReturnType<Source["list"]>>>({ search });
  }

  summary(room: string) {
    return this.#ask<RoomSummary>({ room, request: { op: "summary" } });
  }

  ask: Source["ask"] = (room, request) => this.#ask({ room, request });

  close(): void {
    this.#worker.terminate();
  }

  #ask<T>(question: FileQuestion): Promise<T> {
    const id = this.#count++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, question });
    });
  }
}
