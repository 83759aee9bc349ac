/** What has happened while the console had no contact: the difference between what it knew before and what it knows after. */
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
