/** Showing: draws what changed, together with what changes soon after, and the more seldom the longer a drawing takes. */

/** Pause within which changes are shown together, in ms. */
const TOGETHER_MS = 100;
/** Pause as a multiple of what the last showing took: however much there is, most of the time is left for the person. */
const SHARE = 4;
/** Longest pause before a new emergency, in ms, unless the last showing took longer: then half of the time is left. */
const URGENT_MS = 250;

export class Showing {
  private costMs = 0;
  private endedAt = -Infinity;
  private due: ReturnType<typeof setTimeout> | null = null;
  private dueAt = Infinity;

  constructor(
    private readonly show: () => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Shows what has changed soon; `isUrgent` where an emergency is new, which after a rest waits for nothing. */
  soon(isUrgent = false): void {
    const now = this.now();
    const at = isUrgent ? Math.max(now, this.endedAt + this.pauseMs(isUrgent)) : now + this.pauseMs(isUrgent);
    // What is due earlier already shows all there is by then.
    if (at >= this.dueAt) return;
    if (this.due !== null) clearTimeout(this.due);
    this.dueAt = at;
    this.due = setTimeout(() => this.run(), at - now);
  }

  private pauseMs(isUrgent: boolean): number {
    const pause = Math.max(TOGETHER_MS, this.costMs * SHARE);
    return isUrgent ? Math.min(pause, Math.max(URGENT_MS, this.costMs)) : pause;
  }

  private run(): void {
    this.due = null;
    this.dueAt = Infinity;
    const start = this.now();
    this.show();
    this.endedAt = this.now();
    this.costMs = this.endedAt - start;
  }
}
