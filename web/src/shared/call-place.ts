/** How far the place of an emergency can be relied on. */
import type { Incident } from "./api";

/**
 * - `own`: the call came with it.
 * - `since`: of a report that came after the call.
 * - `lastKnown`: from before the call, or under a time that cannot be.
 * - `none`: there is no place.
 */
export type PlaceStanding = "own" | "since" | "lastKnown" | "none";

export function placeStanding({ position, opened_at }: Pick<Incident, "position" | "opened_at">): PlaceStanding {
  if (!position) return "none";
  if (position.trusted) return "own";
  const cameAfter = Date.parse(position.time) > Date.parse(opened_at);
  return cameAfter && !position.unsure ? "since" : "lastKnown";
}

/** True where all that is known is a place from before the call, or under a time that cannot be. */
export function isLastKnown(incident: Pick<Incident, "position" | "opened_at">): boolean {
  return placeStanding(incident) === "lastKnown";
}
