/** The resident memory of a process, as the kernel counts it. */
import { readFile } from "node:fs/promises";

export type MemoryField = "VmRSS" | "RssAnon" | "RssFile" | "VmHWM";

/** Returns values in MiB. `VmHWM` is the highest value that `VmRSS` ever had. */
export async function residentMemory(pid: number): Promise<Record<MemoryField, number>> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const mebibytes = (field: MemoryField) =>
    Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(status)?.[1]) / 1_024;
  return {
    VmRSS: mebibytes("VmRSS"),
    RssAnon: mebibytes("RssAnon"),
    RssFile: mebibytes("RssFile"),
    VmHWM: mebibytes("VmHWM"),
  };
}
