/**
 * Proof of contact: the server is asked every two seconds, and no answer for five means that contact is lost. The event stream
 * proves nothing while nothing happens, since it is then silent for up to 15 s.
 */

/** Longest time without an answer before contact counts as lost, in ms. */
export const LOST_AFTER_MS = 5_000;
/** Pause between the starts of two questions. */
const ASK_EVERY_MS = 2_000;
/** The same after a failure: a short break of the line must not look like a long one. */
const ASK_AGAIN_MS = 1_000;
/** A longer gap between two ticks means that the page itself stood still and could not ask. */
const STOOD_STILL_MS = 3_000;
/** Time that a page which stood still gives the server to answer, before it calls contact lost. */
const GRACE_MS = 2_000;
/** Longest wait for one answer. */
export const ANSWER_WITHIN_MS = 3_000;

export type Contact =
  /** No answer yet since the page was opened, and not long enough to worry. */
  { kind: "starting" } | { kind: "held" } | { kind: "lost"; since: number; why: string };

export class ContactRules {
  private heardAt: number;
  private everHeard = false;
  private askedAt = -Infinity;
  private asking = false;
  private why = "";
  private tickedAt: number;
  private graceUntil = 0;

  constructor(nowMs: number) {
    this.heardAt = nowMs;
    this.tickedAt = nowMs;
  }

  /** Once a second: tells a silent server from a page that stood still, as after the sleep of the machine. */
  tick(nowMs: number): void {
    if (nowMs - this.tickedAt > STOOD_STILL_MS) this.graceUntil = nowMs + GRACE_MS;
    this.tickedAt = nowMs;
  }

  /** Returns true where it is time to ask, and notes that a question is under way. */
  ask(nowMs: number): boolean {
    const pause = this.why === "" ? ASK_EVERY_MS : ASK_AGAIN_MS;
    // Ticks come about once a second; one that is a little early counts.
    if (this.asking || nowMs - this.askedAt < pause - 100) return false;
    this.asking = true;
    this.askedAt = nowMs;
    return true;
  }

  answered(nowMs: number): void {
    this.asking = false;
    this.everHeard = true;
    this.heardAt = nowMs;
    this.why = "";
  }

  failed(why: string): void {
    this.asking = false;
    this.why = why;
  }

  /** True once the server has answered at all: before that, a loss is no news to anybody. */
  get wasHeard(): boolean {
    return this.everHeard;
  }

  state(nowMs: number): Contact {
    if (nowMs - this.heardAt >= LOST_AFTER_MS && nowMs >= this.graceUntil) return { kind: "lost", since: this.heardAt, why: this.why };
    return { kind: this.everHeard ? "held" : "starting" };
  }
}
