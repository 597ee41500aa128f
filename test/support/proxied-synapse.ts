/**
 * A Synapse that pushes to a Tidemark which stands in front of it, as docs/homeservers.md#in-front-of-a-homeserver says: one
 * process with its own broker.
 *
 *     client ──▶ Tidemark (proxy, ingress, worker, broker) ──▶ Synapse
 *                     ◀────────────transactions──────────────
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newRegistration } from "../../src/homeserver/registration.ts";
import { serverName } from "../../src/matrix/ids.ts";
import { type CliProcess, runCli } from "./cli-process.ts";
import { type LiveSynapse, type SynapseOptions, startSynapse } from "./live-synapse.ts";
import { freePort } from "./scripted-homeserver.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const PROCESS_LIMIT_MS = 3_600_000;

export interface ProxiedSynapse extends AsyncDisposable {
  readonly synapse: LiveSynapse;
  /** Where clients reach the homeserver through Tidemark. */
  readonly proxyUrl: string;
  /** Changes with each start. */
  readonly tidemark: CliProcess;
  /** Ends Tidemark. Resolves once it has ended. */
  endTidemark(signal: NodeJS.Signals): Promise<void>;
  /** Starts Tidemark on the same log and the same port. Resolves once it serves. */
  startTidemark(): Promise<void>;
}

export async function startProxiedSynapse(
  federated: Pick<SynapseOptions, "federationPort"> = {},
): Promise<ProxiedSynapse> {
  const { federationPort } = federated;
  const name = federationPort === undefined ? "synapse.test" : `localhost:${federationPort}`;
  const directory = temporaryDirectory();
  const [port, homeserverPort] = [await freePort(), await freePort()];
  const proxyUrl = `http://127.0.0.1:${port}`;
  const homeserver = `http://127.0.0.1:${homeserverPort}`;
  const registration = join(directory.path, "tidemark.yaml");
  await writeFile(
    registration,
    newRegistration({
      id: "tidemark",
      url: proxyUrl,
      serverNames: [serverName.parse(name)],
      senderLocalpart: "tidemark",
      actsAsUsers: true,
    }),
  );
  const run = () =>
    runCli(
      [
        ...["start", "--data", join(directory.path, "data"), "--http", `127.0.0.1:${port}`],
        ...["--registration", registration, "--homeserver", homeserver, "--partitions", "2"],
      ],
      {},
      { limitMs: PROCESS_LIMIT_MS },
    );
  let tidemark = run();
  const endTidemark = async (signal: NodeJS.Signals) => {
    tidemark.kill("SIGCONT");
    tidemark.kill(signal);
    await tidemark.ended;
  };
  try {
    await tidemark.ready;
    const synapse = await startSynapse({ ...federated, port: homeserverPort, registrations: [registration] });
    return {
      synapse,
      proxyUrl,
      get tidemark() {
        return tidemark;
      },
      endTidemark,
      startTidemark: async () => {
        tidemark = run();
        await tidemark.ready;
      },
      [Symbol.asyncDispose]: async () => {
        await endTidemark("SIGTERM");
        await synapse[Symbol.asyncDispose]();
        directory[Symbol.dispose]();
      },
    };
  } catch (error) {
    await endTidemark("SIGKILL");
    directory[Symbol.dispose]();
    throw error;
  }
}
