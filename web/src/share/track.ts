/** Place, time and heading of the shared vehicle, and the way it went since the page was opened. */

export interface SharedPlace {
  lat: number;
  lon: number;
  timeMs: number;
  headingDeg: number | null;
}

const POINTS_MAX = 20_000;

export class Track {
  last: SharedPlace | null = null;
  trail: [lon: number, lat: number][] = [];

  /** Takes the data of a `position` event. Returns false for one that tells no place, or an older one. */
  take(data: string): boolean {
    const next = read(data);
    if (next === null || (this.last !== null && next.timeMs < this.last.timeMs)) return false;
    this.last = next;
    const before = this.trail.at(-1);
    if (before && before[0] === next.lon && before[1] === next.lat) return true;
    this.trail.push([next.lon, next.lat]);
    if (this.trail.length > POINTS_MAX) this.trail.shift();
    return true;
  }

  /** The trail cut where it crosses the antimeridian, which a line around the globe would hide. */
  lines(): [number, number][][] {
    const lines: [number, number][][] = [];
    let before: [number, number] | null = null;
    for (const point of this.trail) {
      if (before === null || Math.abs(point[0] - before[0]) > 180) lines.push([]);
      lines.at(-1)!.push(point);
      before = point;
    }
    return lines.filter((line) => line.length > 1);
  }

  clear(): void {
    this.last = null;
    this.trail = [];
  }
}

function read(data: string): SharedPlace | null {
  const { lat, lon, time, heading_deg } = JSON.parse(data) as Record<string, unknown>;
  if (typeof lat !== "number" || typeof lon !== "number" || typeof time !== "string") return null;
  const timeMs = Date.parse(time);
  if (Number.isNaN(timeMs)) return null;
  return { lat, lon, timeMs, headingDeg: typeof heading_deg === "number" ? heading_deg : null };
}
