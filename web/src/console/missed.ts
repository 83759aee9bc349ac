/**
 * What has happened while the console had no contact: the difference between what it knew before and what it knows after. It is told
 * until a person dismisses it, so a further loss adds to it.
 */
import type { Incident } from "../shared/api";

export interface Missed {
  opened: Incident[];
  acknowledged: Incident[];
  resolved: Incident[];
  /** Drills that were opened; they are counted apart. */
  drills: number;
}

export function missed(before: Iterable<Incident>, after: Iterable<Incident>): Missed {
  const known = new Map([...before].map((one) => [one.id, one]));
  const found: Missed = { opened: [], acknowledged: [], resolved: [], drills: 0 };
  for (const now of after) {
    const then = known.get(now.id);
    if (now.test) {
      if (!then) found.drills += 1;
      continue;
    }
    if (!then) found.opened.push(now);
    if (now.acknowledged && !then?.acknowledged) found.acknowledged.push(now);
    if (now.state === "resolved" && then?.state !== "resolved") found.resolved.push(now);
  }
  return found;
}

export function isNothing(one: Missed): boolean {
  return one.opened.length + one.acknowledged.length + one.resolved.length + one.drills === 0;
}

/** Time for which it is told that nothing was missed, in ms. */
const NO_NEWS_MS = 30_000;

/** What was missed in one loss of contact or more, and for how long there was none. */
export interface Absence {
  missed: Missed;
  awayMs: number;
}

/** What was missed and is not dismissed yet. */
export class Undismissed {
  private absence: Absence | null = null;
  private until = Infinity;

  /** Takes a loss of contact that is over. Nothing of an earlier one is forgotten, unless nothing was missed in it. */
  add({ missed, awayMs }: Absence, nowMs: number): void {
    const before = this.absence && !isNothing(this.absence.missed) ? this.absence : null;
    this.absence = before ? { missed: together(before.missed, missed), awayMs: before.awayMs + awayMs } : { missed, awayMs };
    this.until = isNothing(this.absence.missed) ? nowMs + NO_NEWS_MS : Infinity;
  }

  dismiss(): void {
    this.absence = null;
  }

  at(nowMs: number): Absence | null {
    return nowMs < this.until ? this.absence : null;
  }
}

function together(one: Missed, later: Missed): Missed {
  const all = (some: Incident[], more: Incident[]): Incident[] => [...new Map([...some, ...more].map((it) => [it.id, it])).values()];
  return {
    opened: all(one.opened, later.opened),
    acknowledged: all(one.acknowledged, later.acknowledged),
    resolved: all(one.resolved, later.resolved),
    drills: one.drills + later.drills,
  };
}
