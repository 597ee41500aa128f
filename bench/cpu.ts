/** The processor time of processes. It shows whether a low figure is due to a load that got too little of it. */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";

/** The unit of `/proc` on Linux. `getconf CLK_TCK` returns 100 wherever Node runs. */
const TICKS_PER_SECOND = 100;

/**
 * Returns processor seconds by name: of this process (`load`), of the given processes, and of the rest of the machine
 * (`others`), which should use almost nothing. Without `/proc`, the given processes count as `others`.
 */
export async function processorSeconds(pids: Readonly<Record<string, number>>): Promise<Record<string, number>> {
  const { user, system } = process.cpuUsage();
  const seconds: Record<string, number> = { load: (user + system) / 1e6 };
  for (const [name, pid] of Object.entries(pids)) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    // The second field is the command in parentheses, which may hold spaces; user and system time are the 14th and
    // 15th.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    if (Number.isFinite(ticks)) seconds[name] = ticks / TICKS_PER_SECOND;
  }
  const own = Object.values(seconds).reduce((sum, busy) => sum + busy, 0);
  return { ...seconds, others: machineSeconds() - own };
}

function machineSeconds(): number {
  let ms = 0;
  for (const { times } of cpus()) ms += times.user + times.nice + times.sys + times.irq;
  return ms / 1_000;
}
