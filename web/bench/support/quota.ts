/** Makes a service slow on purpose: gives it a share of one core, by a control group (version 1 or 2). */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Processor time in each period, in µs. */
export const RUNS_US = 2_000;
/** Folders of the controllers, in both versions, with the precedence over all others that share a core with the service. */
const [FIRST, SECOND] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"] as const;
const PRECEDENCE = { "cpu.shares": "262144", "cpu.weight": "10000" };

/** Limits that are not lifted yet. */
const limits = new Set<() => void>();
// Also where a bench fails before it can lift its limit, and on Ctrl-C, which exits.
process.on("exit", () => limits.forEach((lift) => lift()));

/**
 * Gives a process 2 ms of processor time in each period, and returns what lifts that. Needs the right to make control groups.
 *
 * To stop and continue it would do the same only where nothing else runs on the core: whatever runs there would take the 2 ms.
 */
export function limit(pid: number, periodUs: number): () => void {
  const isFirst = existsSync(join(FIRST, "cpu.cfs_quota_us"));
  const root = isFirst ? FIRST : SECOND;
  const home = join(root, homeIn(readFileSync(`/proc/${pid}/cgroup`, "utf8"), isFirst));
  const group = join(root, `vagn-bench-${pid}`);
  const write = (file: string, value: string): void => writeFileSync(join(group, file), value);
  const lift = (): void => {
    limits.delete(lift);
    if (existsSync(group)) leave(group, home);
  };
  // One of a run that was killed may be there still.
  mkdirSync(group, { recursive: true });
  limits.add(lift);
  try {
    const name = isFirst ? "cpu.shares" : "cpu.weight";
    write(name, PRECEDENCE[name]);
    if (isFirst) {
      write("cpu.cfs_period_us", String(periodUs));
      write("cpu.cfs_quota_us", String(RUNS_US));
    } else write("cpu.max", `${RUNS_US} ${periodUs}`);
    write("cgroup.procs", String(pid));
  } catch (error) {
    lift();
    throw error;
  }
  return lift;
}

/** Returns the group that a process is in, by its file `cgroup`. */
function homeIn(text: string, isFirst: boolean): string {
  const lines = text.split("\n").map((line) => line.split(":"));
  const found = lines.find(([, controllers = ""]) => (isFirst ? controllers.split(",").includes("cpu") : controllers === ""));
  return found?.slice(2).join(":") ?? "/";
}

/** Lets all members go home, and removes the group. */
function leave(group: string, home: string): void {
  for (const member of readFileSync(join(group, "cgroup.procs"), "utf8").split("\n")) {
    if (member === "") continue;
    try {
      writeFileSync(join(home, "cgroup.procs"), member);
    } catch (error) {
      // It has ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
  rmdirSync(group);
}
