/** HTTP as bytes, for requests that no HTTP client would send. */
import { connect } from "node:net";
import { LIMIT_MS } from "./harness.ts";

/** Writes the bytes to a new connection. Returns everything that the server sends until it closes the connection. */
export async function responseTo(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setTimeout(LIMIT_MS, () => socket.destroy());
  socket.write(bytes);
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}
