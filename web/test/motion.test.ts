/** Vehicles move honestly: never ahead of what they reported, and never backwards. */
import assert from "node:assert/strict";
import { drawn, type Drawn, mapReady } from "./support/map";
import { scenario } from "./support/scenario";
import { type Fix, recorded, replay, type Sent } from "./support/trace";
import { eventually, sleep } from "./support/wait";
import { onWay } from "./support/way";

/** A report has seven digits of a degree: 1 cm. */
const TOLERANCE_M = 0.5;
/** Part of the recording that is sent, in ms after its begin: each bus reports twice or three times, at eight times the pace. */
const [FROM_MS, TO_MS] = [600_000, 880_000];
const SPEED = 8;

/** A bus that was silent for longer is not drawn as if it had been watched meanwhile. */
const SILENT_MS = 60_000;

interface Sample {
  atMs: number;
  vehicles: Drawn[];
}

scenario("no bus is drawn ahead of its last report or moves backwards", {}, async ({ vagn, open }) => {
  const { page } = await open("/#map=11/30.27/-97.74", { viewport: { width: 640, height: 400 } });
  await mapReady(page);
  const fixes = recorded(FROM_MS, TO_MS);
  const sent: Sent[] = [];
  const samples: Sample[] = [];
  // Half of the buses keep the 120 s between their reports; for the others it becomes 15 s, which is a drive on the map.
  const isSlow = (id: string): boolean => Number(id) % 2 === 0;
  let over = false;
  const sending = replay(vagn, fixes, { speed: SPEED, slow: isSlow }, sent).finally(() => (over = true));
  const take = async (): Promise<Sample> => {
    const vehicles = await drawn(page);
    // Later than the drawing, so that what was sent before is all that can have been seen.
    return { atMs: Date.now(), vehicles };
  };
  while (!over) {
    samples.push(await take());
    await sleep(100);
  }
  await sending;
  await eventually("all to have arrived at their last reports", async () => {
    const sample = await take();
    samples.push(sample);
    const lasts = new Set(lastFixes(sent).map(place));
    return sample.vehicles.length > 0 && sample.vehicles.every((one) => lasts.has(drawnAt(one)));
  });
  check(samples, sent, isSlow);
});

/** Follows each marker through all samples. */
function check(samples: Sample[], sent: Sent[], isSlow: (id: string) => boolean): void {
  const ids = idsOf(samples, sent);
  const ways = grouped(sent, (fix) => fix.id);
  const faults: string[] = [];
  const driven = new Set<string>();
  const jumped = new Set<string>();
  const furthest = new Map<string, { alongM: number; place: string }>();
  for (const { atMs, vehicles } of samples) {
    for (const one of newest(vehicles)) {
      const id = ids.get(one.key);
      if (id === undefined) continue;
      const known = (ways.get(id) ?? []).filter((fix) => fix.sentMs <= atMs);
      const before = furthest.get(id);
      const places = onWay(known, one.drawnLon, one.drawnLat, TOLERANCE_M);
      if (places.length === 0) faults.push(`${id} is drawn where it has not been: ${drawnAt(one)}`);
      // The way may pass a place twice; the marker is at the first that is not behind it.
      const now = places.find(({ alongM }) => alongM >= (before?.alongM ?? 0) - TOLERANCE_M);
      if (places.length > 0 && !now) faults.push(`${id} goes back from ${before?.place} to ${drawnAt(one)}, on its way from ${one.beforeLon} ${one.beforeLat} to ${place(one)}`);
      if (now) furthest.set(id, { alongM: Math.max(now.alongM, before?.alongM ?? 0), place: drawnAt(one) });
      const drives = one.progress > 0 && one.progress < 1;
      if (drives) driven.add(id);
      if (drives && isSlow(id) && silenceMs(known, one) > SILENT_MS) faults.push(`${id} drives after ${silenceMs(known, one)} ms of silence`);
      if (before && now && now.alongM - before.alongM > 50 && one.progress === 1 && isSlow(id)) jumped.add(id);
    }
  }
  assert.deepEqual(faults.slice(0, 10), [], `${faults.length} faults in ${samples.length} samples of ${furthest.size} buses`);
  // Nothing of this would be worth much if nothing had moved.
  assert.ok(driven.size >= 30, `only ${driven.size} buses were seen on their way`);
  assert.ok(jumped.size >= 10, `only ${jumped.size} buses were seen to jump after 120 s`);
}

/** A vehicle that drives into another tile is in both until the first one is read anew; its newer record counts. */
function newest(vehicles: Drawn[]): Drawn[] {
  const byAge = [...vehicles].sort((one, other) => one.receivedMs - other.receivedMs);
  return [...new Map(byAge.map((one) => [one.key, one])).values()];
}

/** Time between the last fix that is drawn and the one before, as recorded. */
function silenceMs(known: Sent[], one: Drawn): number {
  const at = known.findLastIndex((fix) => place(fix) === place(one));
  return (known[at]?.recordedMs ?? 0) - (known[at - 1]?.recordedMs ?? 0);
}

/** Finds the bus of each key by its reports: those of no other bus have been at all these places. */
function idsOf(samples: Sample[], sent: Sent[]): Map<number, string> {
  const placesOf = new Map<number, Set<string>>();
  for (const one of samples.flatMap((sample) => sample.vehicles)) {
    const places = placesOf.get(one.key) ?? new Set();
    placesOf.set(one.key, places.add(place(one)));
  }
  const visitors = grouped(sent, place);
  const found = new Map<number, string>();
  for (const [key, places] of placesOf) {
    const all = [...places].map((at) => new Set((visitors.get(at) ?? []).map((fix) => fix.id)));
    const common = [...(all[0] ?? [])].filter((id) => all.every((one) => one.has(id)));
    assert.ok(common.length > 0, `no bus has been at ${[...places].join(", ")}`);
    // Buses that stand at the same place all the time cannot be told apart, and do not matter.
    if (common.length === 1) found.set(key, common[0]!);
  }
  assert.ok(found.size >= 100, `only ${found.size} buses were seen`);
  return found;
}

function lastFixes(sent: Sent[]): Fix[] {
  return [...new Map(sent.map((fix) => [fix.id, fix])).values()];
}

function grouped(sent: Sent[], key: (fix: Sent) => string): Map<string, Sent[]> {
  const groups = new Map<string, Sent[]>();
  for (const one of sent) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return groups;
}

function place({ lon, lat }: { lon: number; lat: number }): string {
  return `${lon.toFixed(6)} ${lat.toFixed(6)}`;
}

function drawnAt(one: Drawn): string {
  return place({ lon: one.drawnLon, lat: one.drawnLat });
}
