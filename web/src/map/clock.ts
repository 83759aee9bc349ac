/**
 * The server's clock, as far as the page can tell: every answer carries a time of the server and came some time after it.
 *
 * The least delay seen is the best guess. It errs towards the past, so no vehicle is drawn too early.
 */

/** Answers of the last ten minutes count: clocks drift. */
const REMEMBER_MS = 600_000;

export class ServerClock {
  private offset = Infinity;
  private foundAt = 0;

  constructor(private readonly now: () => number = () => Date.now()) {}

  /** Takes a time of the server, in ms, from an answer that has just come. */
  observe(serverMs: number): void {
    const now = this.now();
    const offset = now - serverMs;
    if (offset <= this.offset || now - this.foundAt > REMEMBER_MS) {
      this.offset = offset;
      this.foundAt = now;
    }
  }

  /** Now, in ms of the server's clock. */
  server(): number {
    return this.now() - (Number.isFinite(this.offset) ? this.offset : 0);
  }

  /** A time of the server, in ms of the page's clock. */
  local(serverMs: number): number {
    return serverMs + (Number.isFinite(this.offset) ? this.offset : 0);
  }
}
