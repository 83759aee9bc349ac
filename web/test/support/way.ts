/** Where on its way a vehicle is: the way is the line through all its fixes, in their order. */
import type { Sent } from "./trace";

const DEGREE_M = 111_195;

/** A place on the way: metres along it, and how far from the line. */
export interface OnWay {
  alongM: number;
  offM: number;
}

/** Lists the places on the way that are within `reachM` of a point; a way that comes back to a place has several. */
export function onWay(way: readonly Pick<Sent, "lon" | "lat">[], lon: number, lat: number, reachM: number): OnWay[] {
  const found: OnWay[] = [];
  let alongM = 0;
  for (let at = 0; at < way.length; at += 1) {
    const to = way[at]!;
    const from = way[at - 1] ?? to;
    const [x, y] = metres(from, to);
    const [px, py] = metres(from, { lon, lat });
    const length = Math.hypot(x, y);
    const part = length === 0 ? 0 : Math.min(1, Math.max(0, (px * x + py * y) / length ** 2));
    const offM = Math.hypot(px - part * x, py - part * y);
    if (offM <= reachM) found.push({ alongM: alongM + part * length, offM });
    alongM += length;
  }
  return found;
}

/** East and north of `from`, in metres: exact enough for a city. */
function metres(from: { lon: number; lat: number }, to: { lon: number; lat: number }): [number, number] {
  return [(to.lon - from.lon) * Math.cos((from.lat * Math.PI) / 180) * DEGREE_M, (to.lat - from.lat) * DEGREE_M];
}
