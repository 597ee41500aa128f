/**
 * Connections to the homeserver whose bytes can be had before Node's parser copies them, which is what a long body costs most.
 *
 *     socket ──▶ parser ──▶ answer ──▶ response ──▶ the client's socket    heads, short bodies, the beginning of a long one
 *        └───── tapped ───────────────────────────▶ the client's socket    the rest of a long one
 *
 * Each connection reads into a buffer of its own, a large one when it is tapped. The parser then never sees an end: the
 * connection can't be used again.
 */
import * as http from "node:http";
import { Socket } from "node:net";

const BYTES_READ_AT_ONCE = 65_536;
const BYTES_TAPPED_AT_ONCE = 262_144;

/** Called with what was read. The next read overwrites it, so the socket must be paused for as long as it is needed. */
export type Tap = (bytes: Buffer) => void;

export class TappedAgent extends http.Agent {
  /** Connections of this agent. The value: whoever has its bytes in place of the parser. */
  readonly #taps = new WeakMap<Socket, Tap | undefined>();

  /** Everything that comes from now on goes to `tap`. Returns false for a connection of somebody else. */
  tap(socket: Socket, tap: Tap): boolean {
    if (!this.#taps.has(socket)) return false;
    this.#taps.set(socket, tap);
    return true;
  }

  override createConnection(...[options, callback]: Parameters<http.Agent["createConnection"]>) {
    let socket: Socket | undefined;
    let buffer = Buffer.allocUnsafeSlow(BYTES_READ_AT_ONCE);
    const tapOf = () => socket && this.#taps.get(socket);
    const onread = {
      buffer: () => {
        const bytes = tapOf() === undefined ? BYTES_READ_AT_ONCE : BYTES_TAPPED_AT_ONCE;
        // What the parser has not taken yet is still in the buffer.
        const isFree = buffer.length >= bytes && (socket?.readableLength ?? 0) === 0;
        if (!isFree) buffer = Buffer.allocUnsafeSlow(bytes);
        return buffer;
      },
      callback: (bytes: number) => {
        const read = buffer.subarray(0, bytes);
        const tap = tapOf();
        if (tap === undefined) return socket?.push(read) ?? false;
        tap(read);
        return true;
      },
    };
    const tapped = { ...options, onread };
    const connection = super.createConnection(tapped, callback);
    if (connection instanceof Socket) {
      socket = connection;
      this.#taps.set(socket, undefined);
    }
    return connection;
  }
}
