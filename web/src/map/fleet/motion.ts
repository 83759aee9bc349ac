/**
 * The rule by which vehicles move on the map, once for the graphics card and once for whoever asks where a vehicle is drawn.
 *
 * A vehicle is drawn between its two last fixes and nowhere else. It sets out from the one before when the last fix is seen, takes
 * the time that lay between the two, at most 10 s, and waits at the last fix. So it is never ahead of what was reported, and
 * never drives backwards. A gap in time, or a speed that no vehicle has, is a jump and not a drive.
 */
import type { Vehicle } from "./record";

/** Longest time on the way, in ms: nobody waits longer to see where a vehicle is. */
export const ON_THE_WAY_MAX_MS = 10_000;
/** Longest time between two fixes, in ms, that counts as one drive. */
export const BETWEEN_MAX_MS = 60_000;
/** Speed in m/s above which two fixes are not one drive. */
export const SPEED_MAX_MPS = 100;
/** Metres in a degree of a great circle. */
const DEGREE_M = 111_195;

/** Time in ms that the drawing takes from the fix before to the last one; 0 is a jump. */
export function durationMs(vehicle: Pick<Vehicle, "lon" | "lat" | "beforeLon" | "beforeLat" | "betweenMs">): number {
  const { betweenMs } = vehicle;
  if (betweenMs <= 0 || betweenMs > BETWEEN_MAX_MS) return 0;
  const east = wrapped(vehicle.lon - vehicle.beforeLon) * Math.cos((vehicle.lat * Math.PI) / 180);
  const north = vehicle.lat - vehicle.beforeLat;
  const metres = Math.hypot(east, north) * DEGREE_M;
  return metres > (SPEED_MAX_MPS * betweenMs) / 1000 ? 0 : Math.min(betweenMs, ON_THE_WAY_MAX_MS);
}

/** Part of the way that is done after `sinceMs` of it: 0 at the fix before, 1 at the last one. */
export function progress(sinceMs: number, duration: number): number {
  return duration <= 0 ? 1 : Math.min(1, Math.max(0, sinceMs / duration));
}

/** Where a vehicle is drawn that set out `sinceMs` ago, in degrees. */
export function drawnPlace(vehicle: Vehicle, sinceMs: number): { lon: number; lat: number; progress: number } {
  const part = progress(sinceMs, durationMs(vehicle));
  const lon = vehicle.beforeLon + wrapped(vehicle.lon - vehicle.beforeLon) * part;
  const lat = vehicle.beforeLat + (vehicle.lat - vehicle.beforeLat) * part;
  return { lon: wrapped(lon), lat, progress: part };
}

/** The same rule for the graphics card; `before` and `last` are degrees from a common origin. */
export const MOTION_GLSL = `
float durationMs(vec2 before, vec2 last, float betweenMs, float cosLat) {
  if (betweenMs <= 0.0 || betweenMs > ${BETWEEN_MAX_MS}.0) return 0.0;
  vec2 way = last - before;
  float metres = length(vec2(way.x * cosLat, way.y)) * ${DEGREE_M}.0;
  return metres > ${SPEED_MAX_MPS}.0 * betweenMs / 1000.0 ? 0.0 : min(betweenMs, ${ON_THE_WAY_MAX_MS}.0);
}
float progress(float sinceMs, float duration) {
  return duration <= 0.0 ? 1.0 : clamp(sinceMs / duration, 0.0, 1.0);
}`;

/** Longitude, or difference of two, within ±180. */
export function wrapped(degrees: number): number {
  return degrees > 180 ? degrees - 360 : degrees < -180 ? degrees + 360 : degrees;
}
