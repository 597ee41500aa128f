/** A process that answers every message on `bench.echo` with its own payload: the best that bare NATS can do. */
import { connect } from "nats";

const nc = await connect({ servers: process.argv[2]! });
nc.subscribe("bench.echo", { callback: (_, message) => void message.respond(message.data) });
await nc.flush();
process.stdout.write("ready\n");
