/** A fleet that fills a view of the map, each vehicle of which moves every second. */
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import type { Vagn } from "../../test/support/vagn";

export const SIZE = { width: 1920, height: 1080 };
/** A tile holds 10 000 vehicles at most: at this zoom 50 000 need a large screen. */
export const ZOOM = 11;
export const MIDDLE = { lat: 30.27, lon: -97.74 };

/** Degrees to the east in a pixel; to the north they are fewer. */
const DEGREE_PX = 360 / (512 * 2 ** ZOOM);
/** Speed of each vehicle, in m/s, and the way of a second in degrees. */
const SPEED = 12;
const STEP = SPEED / 111_195;

/** Writes a trace in which all vehicles move for so many seconds; returns its path. */
export async function writeTrace(vagn: Vagn, vehicles: number, seconds: number): Promise<string> {
  const path = join(vagn.folder, `trace-${vehicles}.csv`);
  const file = createWriteStream(path);
  file.write("vehicle_id,timestamp_ms,lat,lon,speed_mps,heading_deg\n");
  const columns = Math.ceil(Math.sqrt((vehicles * SIZE.width) / SIZE.height));
  const rows = Math.ceil(vehicles / columns);
  const [width, height] = [SIZE.width * DEGREE_PX * 0.96, SIZE.height * DEGREE_PX * Math.cos((MIDDLE.lat * Math.PI) / 180) * 0.96];
  for (let second = 0; second < seconds; second += 1) {
    const lines: string[] = [];
    for (let at = 0; at < vehicles; at += 1) {
      const lon = MIDDLE.lon + width * ((at % columns) / columns - 0.5);
      const lat = MIDDLE.lat + height * (Math.floor(at / columns) / rows - 0.5) + second * STEP;
      const time = 1_700_000_000_000 + second * 1_000 + Math.floor((at * 1_000) / vehicles);
      lines.push(`v${at},${time},${lat.toFixed(6)},${lon.toFixed(6)},${SPEED},0\n`);
    }
    if (!file.write(lines.join(""))) await once(file, "drain");
  }
  file.end();
  await once(file, "close");
  return path;
}
