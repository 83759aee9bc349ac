/** Makes a service slow on purpose: gives it a share of one core, by a control group (version 1 or 2). */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Processor time in each period, in µs. */
export const RUNS_US = 2_000;
/** Folders of the controllers, in both versions, with the precedence over all others that share a core with the service. */
const [FIRST, SECOND] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"];
const PRECEDENCE = { "cpu.shares": "262144", "cpu.weight": "10000" };

/**
 * Gives a process 2 ms of processor time in each period, and returns what lifts that. Needs the right to make control groups.
 *
 * To stop and continue it would do the same only where nothing else runs on the core: whatever runs there would take the 2 ms.
 */
export function limit(pid: number, periodUs: number): () => void {
  const isFirst = existsSync(join(FIRST!, "cpu.cfs_quota_us"));
  const group = join(isFirst ? FIRST! : SECOND!, `vagn-bench-${pid}`);
  const write = (file: string, value: string): void => writeFileSync(join(group, file), value);
  mkdirSync(group);
  const name = isFirst ? "cpu.shares" : "cpu.weight";
  write(name, PRECEDENCE[name]);
  if (isFirst) {
    write("cpu.cfs_period_us", String(periodUs));
    write("cpu.cfs_quota_us", String(RUNS_US));
  } else write("cpu.max", `${RUNS_US} ${periodUs}`);
  write("cgroup.procs", String(pid));
  return () => {
    if (!existsSync(group)) return;
    for (const member of readFileSync(join(group, "cgroup.procs"), "utf8").split("\n")) {
      if (member !== "") writeFileSync(join(dirname(group), "cgroup.procs"), member);
    }
    rmdirSync(group);
  };
}
