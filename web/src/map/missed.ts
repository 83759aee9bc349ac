/** What happened while the page had no contact. It is told until a person puts it away, so a further loss adds to it. */

export interface Missed {
  /** Vehicles that called for help. */
  calls: string[];
  /** Vehicles whose calls were drills. */
  drills: string[];
  resolved: number;
}

/** What was missed in one loss of contact or more, and for how long there was none. */
export interface Absence {
  missed: Missed;
  awayMs: number;
}

export function isNothing({ calls, drills, resolved }: Missed): boolean {
  return calls.length + drills.length + resolved === 0;
}

/** Adds a loss of contact to those before it, of which one without news is forgotten. */
export function add(before: Absence | null, later: Absence): Absence {
  if (before === null || isNothing(before.missed)) return later;
  const { calls, drills, resolved } = before.missed;
  const missed = {
    calls: [...new Set([...calls, ...later.missed.calls])],
    drills: [...new Set([...drills, ...later.missed.drills])],
    resolved: resolved + later.missed.resolved,
  };
  return { missed, awayMs: before.awayMs + later.awayMs };
}
