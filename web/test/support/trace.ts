/** Recorded buses, sent again so fast that a test can watch, and the ways that they really went. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Report, Vagn } from "./vagn";
import { sleep } from "./wait";

/** Half an hour of the buses of Austin, most of which report each 120 s; see data/README.md. */
const TRACE = resolve("../data/capmetro-austin-30min-small.csv");

export interface Fix {
  id: string;
  lon: number;
  lat: number;
  /** ms since 1970, as recorded. */
  recordedMs: number;
  speedMps: number | null;
}

/** Returns the reports of a part of the trace, in ms after its first row. Those without a place are left out. */
export function recorded(fromMs: number, toMs: number): Fix[] {
  const rows = readFileSync(TRACE, "utf8").trim().split("\n").slice(1).map(fix);
  const placed = rows.filter((row) => row.lon !== 0 || row.lat !== 0);
  const begin = Math.min(...placed.map((row) => row.recordedMs));
  return placed.filter(({ recordedMs }) => recordedMs - begin >= fromMs && recordedMs - begin < toMs);
}

function fix(line: string): Fix {
  const [id = "", at, lat, lon, speed] = line.split(",");
  return { id, recordedMs: Number(at), lat: Number(lat), lon: Number(lon), speedMps: speed ? Number(speed) : null };
}

export interface Replay {
  /** Times faster than recorded. */
  speed: number;
  /** Buses whose reports carry the time of recording, moved to just before now, so that 120 s stay 120 s; the others carry the time of sending. */
  slow: (id: string) => boolean;
}

/** A fix and the time at which it was sent, in ms since 1970. */
export interface Sent extends Fix {
  sentMs: number;
}

/** Sends the fixes in their order and at their pace; `sent` grows while it runs. */
export async function replay(vagn: Vagn, fixes: readonly Fix[], { speed, slow }: Replay, sent: Sent[]): Promise<void> {
  const first = fixes[0]?.recordedMs ?? 0;
  const last = fixes.at(-1)?.recordedMs ?? 0;
  const startMs = Date.now();
  for (let next = 0; next < fixes.length; ) {
    const nowMs = Date.now();
    const due = fixes.slice(next).filter((one) => (one.recordedMs - first) / speed <= nowMs - startMs);
    next += due.length;
    sent.push(...due.map((one) => ({ ...one, sentMs: nowMs })));
    const reports = due.map((one): Report => ({
      ID: one.id,
      Lat: one.lat,
      Lon: one.lon,
      Ts: slow(one.id) ? startMs - (last - one.recordedMs) : nowMs,
      ...(one.speedMps === null ? {} : { Speed: one.speedMps }),
    }));
    if (reports.length > 0) await vagn.store(...reports);
    await sleep(100);
  }
}
