/**
 * Rules for the sounds: which one is due, and for how long they are muted.
 *
 * A new emergency sounds at once and again until a person has acknowledged it. A lost server sounds until it is back. A drill
 * sounds once, softly. A mute ends after two minutes, or with the next emergency or loss.
 */
import type { Pattern } from "../shared/sound";

export const MUTE_MS = 120_000;
/** Pause between repeats. */
const REPEAT_MS = 6_000;
/** Shortest pause between two sounds: a hundred emergencies at once are one sound, not a hundred on top of each other. */
const APART_MS = 1_500;

/** Time from the begin of a sound in which it counts for every emergency that comes: another one for it would only put off the next. */
const TOGETHER_MS = 300;

export class AlarmRules {
  private mutedUntil = 0;
  private wanted: Pattern | null = null;
  private lastAt = -Infinity;
  private last: Record<Pattern, number> = { emergency: -Infinity, lost: -Infinity, drill: -Infinity, test: -Infinity };
  private wasLost = false;

  /** A real emergency has come in. */
  emergency(nowMs: number): void {
    // Who has muted the sound before has not heard it for this one.
    const endsMute = this.mutedFor(nowMs) > 0;
    this.mutedUntil = 0;
    if (endsMute || nowMs - this.last.emergency >= TOGETHER_MS) this.wanted = "emergency";
  }

  drill(): void {
    this.wanted ??= "drill";
  }

  mute(nowMs: number): void {
    this.mutedUntil = nowMs + MUTE_MS;
  }

  unmute(): void {
    this.mutedUntil = 0;
  }

  /** Time until the mute ends in ms; 0 where nothing is muted. */
  mutedFor(nowMs: number): number {
    return Math.max(0, this.mutedUntil - nowMs);
  }

  /** Returns the sound that is due, if any. `waiting`: real emergencies that nobody has acknowledged. */
  due(nowMs: number, waiting: number, lost: boolean): Pattern | null {
    if (lost && !this.wasLost) this.mutedUntil = 0;
    this.wasLost = lost;
    if (this.mutedFor(nowMs) > 0) {
      this.wanted = null;
      return null;
    }
    if (nowMs - this.lastAt < APART_MS) return null;
    const pattern = this.wanted ?? this.repeat(nowMs, waiting, lost);
    return pattern;
  }

  /** Returns the time in ms until a sound that is wanted may follow the one before; `null` where none waits for that. */
  pauseMs(nowMs: number): number | null {
    const pause = this.lastAt + APART_MS - nowMs;
    return this.wanted !== null && pause > 0 ? pause : null;
  }

  /** Notes that a sound was really played: one that the browser held back stays due. */
  played(pattern: Pattern, nowMs: number): void {
    if (this.wanted === pattern) this.wanted = null;
    this.lastAt = nowMs;
    this.last[pattern] = nowMs;
  }

  private repeat(nowMs: number, waiting: number, lost: boolean): Pattern | null {
    if (waiting > 0 && nowMs - this.last.emergency >= REPEAT_MS) return "emergency";
    return lost && nowMs - this.last.lost >= REPEAT_MS ? "lost" : null;
  }
}
