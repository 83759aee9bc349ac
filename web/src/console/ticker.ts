/** A tick once a second from a worker: a browser slows the timers of a page that is not in view, down to one in a minute. */
export function startTicker(tick: () => void): void {
  const worker = new Worker(new URL("./ticker-worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", tick);
}
