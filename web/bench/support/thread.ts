/** The main thread of a page: its processor time by the kernel's account, and a core that it has for itself. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";

export interface MainThread {
  /** Number of its process, and of itself. */
  id: number;
  /** True where it has precedence on its core. */
  precedes: boolean;
}

/**
 * Finds the main thread of the only page that is open, gives it precedence on its core, and moves the drawing to the service's: the
 * processor draws where there is no graphics card, and would count as the page's own time.
 */
export async function mainThread(page: Page): Promise<MainThread> {
  const processInfo = await processes(page);
  const busiest = (type: string) =>
    processInfo.filter((one) => one.type === type).sort((one, other) => other.cpuTime - one.cpuTime)[0]?.id;
  const [id, drawing] = [busiest("renderer"), busiest("GPU")];
  if (id === undefined) throw new Error("no process has the page");
  if (drawing !== undefined) may("taskset", "--all-tasks", "--cpu-list", "--pid", "0", String(drawing));
  return { id, precedes: may("chrt", "--fifo", "--pid", "1", String(id)) };
}

/** Keeps all of a page's browser on the core of the bench: the threads that draw would else choose that of the service, too. */
export async function keepOff(page: Page): Promise<void> {
  for (const { id } of await processes(page)) may("taskset", "--all-tasks", "--cpu-list", "--pid", "1", String(id));
}

async function processes(page: Page) {
  const browser = page.context().browser();
  if (!browser) throw new Error("the page has no browser");
  const debug = await browser.newBrowserCDPSession();
  return (await debug.send("SystemInfo.getProcessInfo")).processInfo;
}

/** Runs a command; returns false where this user may not. */
function may(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Processor time of a main thread since it began, in ms. */
export function cpuMs({ id }: MainThread): number {
  const [ns] = readFileSync(`/proc/${id}/task/${id}/schedstat`, "utf8").split(" ");
  return Number(ns) / 1e6;
}
