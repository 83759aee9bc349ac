/**
 * Order of the list: what waits for a person first, drills always apart from real emergencies.
 *
 * Rows are in the order of their opening, oldest first: a new one comes at the end of its part, and no row moves away under
 * a pointer. In a crowd the rows are grouped by area and vehicle; every row stays in the list.
 */
import type { Incident } from "../shared/api";

/** More new emergencies than this within the span are a crowd. */
export const CROWD_MIN = 10;
export const CROWD_SPAN_MS = 10 * 60_000;
/** A crowd is over when so few are left: at the limit itself the list would be arranged anew again and again. */
const CROWD_LEFT = 5;

/** Side of an area in degrees: about 11 km from north to south. */
const AREA_DEG = 0.1;

export type SectionKey = "waiting" | "handled" | "drills" | "resolved";

export interface Group {
  key: string;
  /** Middle of the area, or `null` where its incidents have no known place; left out where the list is not grouped. */
  area?: { lat: number; lon: number } | null;
  incidents: Incident[];
  vehicles: number;
}

export interface Section {
  key: SectionKey;
  groups: Group[];
  count: number;
}

export function sectionOf(incident: Incident): SectionKey {
  if (incident.state === "resolved") return "resolved";
  if (incident.test) return "drills";
  return incident.acknowledged ? "handled" : "waiting";
}

/** True for a real emergency that no person has taken on. */
export function isWaiting(incident: Incident): boolean {
  return sectionOf(incident) === "waiting";
}

/** True where no target has the incident, which a dispatcher must see at a glance. */
export function isUntold(incident: Incident): boolean {
  return incident.call.status !== "accepted" && incident.state !== "resolved";
}

/** Number of real emergencies that were opened within the span of a crowd. */
export function newOnes(incidents: Iterable<Incident>, nowMs: number): number {
  let count = 0;
  for (const one of incidents) {
    if (!one.test && nowMs - Date.parse(one.opened_at) <= CROWD_SPAN_MS) count += 1;
  }
  return count;
}

export function isCrowd(count: number, before: boolean): boolean {
  return count > (before ? CROWD_LEFT : CROWD_MIN);
}

/** Puts all incidents in their places; each is in exactly one. */
export function arrange(incidents: Iterable<Incident>, crowd: boolean): Section[] {
  const sections: Record<SectionKey, Incident[]> = { waiting: [], handled: [], drills: [], resolved: [] };
  for (const incident of incidents) sections[sectionOf(incident)].push(incident);
  return (Object.keys(sections) as SectionKey[]).map((key) => {
    const ordered = sections[key].sort(key === "resolved" ? lastResolvedFirst : firstOpenedFirst);
    const groups = crowd && key === "waiting" ? byArea(ordered) : plain(ordered);
    return { key, groups, count: ordered.length };
  });
}

function plain(incidents: Incident[]): Group[] {
  return incidents.length === 0 ? [] : [{ key: "all", incidents, vehicles: vehicles(incidents) }];
}

/** Groups incidents, which are oldest first, by area; the area of the oldest one comes first. */
function byArea(incidents: Incident[]): Group[] {
  return [...grouped(incidents, areaKey)].map(([key, members]) => ({
    key,
    area: middle(key),
    incidents: byVehicle(members),
    vehicles: vehicles(members),
  }));
}

function byVehicle(incidents: Incident[]): Incident[] {
  return [...grouped(incidents, (one) => one.vehicle_id).values()].flat();
}

/** Groups incidents by a key; the groups come in the order of their first members. */
export function grouped(incidents: Iterable<Incident>, key: (incident: Incident) => string): Map<string, Incident[]> {
  const groups = new Map<string, Incident[]>();
  for (const incident of incidents) {
    const members = groups.get(key(incident));
    if (members) members.push(incident);
    else groups.set(key(incident), [incident]);
  }
  return groups;
}

/** Numbers the incidents of a group among those of the same vehicle, where the list is grouped; else all have 0 of 0. */
export function* numbered({ area, incidents }: Group): Generator<{ incident: Incident; number: number; total: number }> {
  if (area === undefined) {
    for (const incident of incidents) yield { incident, number: 0, total: 0 };
    return;
  }
  // One look at each: a single vehicle may have sent all of a crowd.
  for (const same of grouped(incidents, (one) => one.vehicle_id).values()) {
    for (const [at, incident] of same.entries()) yield { incident, number: at + 1, total: same.length };
  }
}

function areaKey({ position }: Incident): string {
  if (!position) return "nowhere";
  return `${Math.floor(position.lat / AREA_DEG)}/${Math.floor(position.lon / AREA_DEG)}`;
}

function middle(key: string): { lat: number; lon: number } | null {
  const [south, west] = key.split("/").map(Number);
  if (south === undefined || west === undefined) return null;
  return { lat: (south + 0.5) * AREA_DEG, lon: (west + 0.5) * AREA_DEG };
}

function vehicles(incidents: Incident[]): number {
  return new Set(incidents.map((one) => one.vehicle_id)).size;
}

function firstOpenedFirst(a: Incident, b: Incident): number {
  return compare(a.opened_at, b.opened_at) || compare(a.id, b.id);
}

function lastResolvedFirst(a: Incident, b: Incident): number {
  return compare(b.resolved?.at ?? b.updated_at, a.resolved?.at ?? a.updated_at) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
