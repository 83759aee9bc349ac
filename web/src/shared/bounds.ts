/** Places on the globe, the smallest box around them, and the view of a map. */

/** Degrees. */
export type Place = readonly [lon: number, lat: number];

export interface Bounds {
  west: number;
  south: number;
  /** Above 180 where the box crosses the antimeridian. */
  east: number;
  north: number;
}

/** What a map shows, by its middle. */
export interface View {
  zoom: number;
  lat: number;
  lon: number;
}

/** Box around places; `null` for none. In longitude it leaves out the widest gap, wherever on the globe that is. */
export function boundsOf(places: readonly Place[]): Bounds | null {
  if (places.length === 0) return null;
  const lons = places.map(([lon]) => lon).sort((one, other) => one - other);
  const lats = places.map(([, lat]) => lat);
  let [gap, west] = [lons[0]! + 360 - lons.at(-1)!, lons[0]!];
  for (let at = 1; at < lons.length; at += 1) {
    const between = lons[at]! - lons[at - 1]!;
    if (between > gap) [gap, west] = [between, lons[at]!];
  }
  return { west, east: west + 360 - gap, south: Math.min(...lats), north: Math.max(...lats) };
}

/** The box as the API takes it: `east` within ±180, the whole world where the view goes round it. */
export function apiBox({ west, south, east, north }: Bounds): Bounds {
  const clamp = (lat: number) => Math.min(90, Math.max(-90, lat));
  const all = east - west >= 360;
  return { west: all ? -180 : turned(west), east: all ? 180 : turned(east), south: clamp(south), north: clamp(north) };
}

function turned(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}
