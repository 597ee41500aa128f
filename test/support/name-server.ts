/** A name server for this process: it knows one name, and gives it the address that the test says. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { getServers, setServers } from "node:dns";
import { once } from "node:events";

const HEADER_BYTES = 12;
const TYPE_A = 1;
const TTL_S = 0;

export interface NameServer extends AsyncDisposable {
  /** What every name is at, from now on. */
  address: string;
}

/** Answers this process's questions for addresses of names until it is disposed of. */
export async function startNameServer(address: string): Promise<NameServer> {
  const socket = createSocket("udp4");
  const server = { address };
  socket.on("message", (question, from) => answer(question, from));
  const answer = (question: Buffer, { port, address: to }: RemoteInfo) => {
    let end = HEADER_BYTES;
    while (question[end] !== 0) end += question[end]! + 1;
    const type = question.readUInt16BE(end + 1);
    const asked = question.subarray(HEADER_BYTES, end + 5);
    const known = type === TYPE_A;
    const header = Buffer.alloc(HEADER_BYTES);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180, 2); // A response without error.
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(known ? 1 : 0, 6);
    const record = Buffer.alloc(16);
    record.writeUInt16BE(0xc000 + HEADER_BYTES, 0); // The name of the question.
    record.writeUInt16BE(TYPE_A, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(TTL_S, 6);
    record.writeUInt16BE(4, 10);
    for (const [i, part] of server.address.split(".").entries()) record[12 + i] = Number(part);
    socket.send(Buffer.concat(known ? [header, asked, record] : [header, asked]), port, to);
  };
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const before = getServers();
  setServers([`127.0.0.1:${socket.address().port}`]);
  return Object.assign(server, {
    [Symbol.asyncDispose]: async () => {
      setServers(before);
      socket.close();
    },
  });
}
