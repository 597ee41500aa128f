/** One keep-alive connection that speaks just enough HTTP: a load generator must cost less than what it loads. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

const HEAD_END = "\r\n\r\n";

export class RawClient {
  readonly #socket: Socket;
  readonly #head: string;
  #buffer: Buffer = Buffer.alloc(0);
  #waiting: { resolve: (answer: RawAnswer) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket, token: string) {
    this.#socket = socket.setNoDelay();
    this.#head = `HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`;
    socket.on("data", (data) => this.#received(data));
    socket.on("error", () => {});
    socket.on("close", () => this.#waiting?.reject(new Error("the connection was closed")));
  }

  static async open(url: string, token: string): Promise<RawClient> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    return new RawClient(socket, token);
  }

  /** One request at a time. Rejects when the connection ends. */
  ask(method: string, path: string, body?: string): Promise<RawAnswer> {
    const length = body === undefined ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    this.#socket.write(`${method} /_matrix/client${path} ${this.#head}${length}\r\n${body ?? ""}`);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #received(data: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? data : Buffer.concat([this.#buffer, data]);
    const headEnd = this.#buffer.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.#buffer.toString("latin1", 0, headEnd);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const end = headEnd + HEAD_END.length + length;
    if (this.#buffer.length < end) return;
    const body = this.#buffer.toString("utf8", headEnd + HEAD_END.length, end);
    this.#buffer = this.#buffer.subarray(end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(head.slice(9, 12)), body });
  }
}
