/**
 * One keep-alive connection that speaks just enough HTTP: a load generator must cost less than what it loads.
 *
 * It reads answers with a `content-length`, as Tidemark gives them.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

interface Waiting {
  readonly resolve: (answer: RawAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** What one read of a socket brings at most. All sockets read into the same memory, one after another. */
const READ_BYTES = 65_536;
const shared = Buffer.allocUnsafe(READ_BYTES);
const HEAD_END = "\r\n\r\n";
const LENGTH = "\r\ncontent-length: ";

export class RawClient {
  readonly #socket: Socket;
  readonly #head: string;
  /** The beginning of an answer whose rest is to come, as latin1: a character is a byte. */
  #begun = "";
  /** How long the answer is, once its head is here. */
  #length = 0;
  /** Answers come in the order of their requests. */
  readonly #waiting: Waiting[] = [];

  private constructor(socket: Socket, token: string) {
    this.#socket = socket.setNoDelay();
    this.#head = ` HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`;
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the connection was closed"));
    });
  }

  static async open(url: string, token: string): Promise<RawClient> {
    const { hostname, port } = new URL(url);
    let client: RawClient | undefined;
    const socket = connect({
      port: Number(port),
      host: hostname,
      onread: {
        buffer: shared,
        callback: (bytes) => {
          client!.#received(shared.toString("latin1", 0, bytes));
          return true;
        },
      },
    });
    await once(socket, "connect");
    client = new RawClient(socket, token);
    return client;
  }

  /** A path below `/_matrix/client`. The body of the answer is latin1. Rejects when the connection ends. */
  ask(method: string, path: string, body?: string): Promise<RawAnswer> {
    if (this.#socket.destroyed) return Promise.reject(new Error("the connection is closed"));
    const length = body === undefined ? "" : `Content-Length: ${body.length}\r\n`;
    this.#socket.write(`${method} /_matrix/client${path}${this.#head}${length}\r\n${body ?? ""}`, "latin1");
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#waiting.length = 0;
    this.#socket.destroy();
  }

  #received(text: string): void {
    let rest = this.#begun + text;
    for (;;) {
      if (this.#length === 0) this.#length = lengthOf(rest);
      if (this.#length === 0 || rest.length < this.#length) break;
      const answer = rest.slice(0, this.#length);
      rest = rest.slice(this.#length);
      this.#length = 0;
      const body = answer.slice(answer.indexOf(HEAD_END) + HEAD_END.length);
      this.#waiting.shift()?.resolve({ status: Number(answer.slice(9, 12)), body });
    }
    this.#begun = rest;
  }
}

/** Of the answer that a text begins with; 0 while its head is not complete. */
function lengthOf(text: string): number {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return 0;
  const at = text.indexOf(LENGTH);
  // Node itself answers without a length, and closes: a request that did not come in time, say.
  const length = at < 0 || at > headEnd ? 0 : Number.parseInt(text.slice(at + LENGTH.length), 10);
  return headEnd + HEAD_END.length + length;
}
