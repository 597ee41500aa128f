/**
 * An HTTP client on one keep-alive connection, reduced to the minimum: a load generator must cost less than the server
 * that it loads.
 *
 * It reads only answers with a `content-length`, as Tidemark sends them.
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

/** The most that one read of a socket returns. All sockets share this buffer, one after another. */
const READ_BYTES = 65_536;
const shared = Buffer.allocUnsafe(READ_BYTES);
const HEAD_END = "\r\n\r\n";
const LENGTH = "\r\ncontent-length: ";

export class RawClient {
  readonly #socket: Socket;
  readonly #head: string;
  /** The start of an answer whose rest has not arrived, as latin1: one character per byte. */
  #begun = "";
  /** The length of the answer, once its head has arrived. */
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

  /**
   * Sends a request to a path below `/_matrix/client`. The body of the answer is latin1. Rejects when the connection
   * ends.
   */
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

/** Returns the length of the answer at the start of a text, or 0 while its head is incomplete. */
function lengthOf(text: string): number {
  const headEnd = text.indexOf(HEAD_END);
  if (headEnd < 0) return 0;
  const at = text.indexOf(LENGTH);
  // Answers of Node itself, such as a request timeout, have no length and close the connection.
  const length = at < 0 || at > headEnd ? 0 : Number.parseInt(text.slice(at + LENGTH.length), 10);
  return headEnd + HEAD_END.length + length;
}
