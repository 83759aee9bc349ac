/** Figures for `scripts/bench-browser`, which makes a section of the document of them. */
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";

/** Starts the service on a core of its own; the browser and those who send have another one, which `scripts/bench-browser` gives them. */
export const APART = { by: ["taskset", "-c", "0"] } as const;

/** Lets the browsers that are started from now on run on every core. */
export function everywhere(): void {
  execFileSync("taskset", ["--all-tasks", "--cpu-list", "--pid", `0-${cpus().length - 1}`, String(process.pid)], { stdio: "ignore" });
}

/** True for short runs, which show that the measuring works but give no figures. */
const QUICK = Boolean(process.env["QUICK"]);

export function pick<T>(long: T, short: T): T {
  return QUICK ? short : long;
}

/** Adds a line of JSON to the file that FIGURES names, and shows it. */
export function keep(name: string, figures: Record<string, unknown>): void {
  const line = JSON.stringify({ name, ...figures });
  const path = process.env["FIGURES"];
  if (path) appendFileSync(path, `${line}\n`);
  console.log(line.length > 600 ? `${line.slice(0, 600)}…` : line);
}
