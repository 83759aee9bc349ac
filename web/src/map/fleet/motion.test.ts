import assert from "node:assert/strict";
import { test } from "node:test";
import { drawnPlace, durationMs, progress, wrapped } from "./motion.ts";
import type { Vehicle } from "./record.ts";

function vehicle(change: Partial<Vehicle>): Vehicle {
  return {
    key: 1,
    lon: 18.001,
    lat: 59,
    beforeLon: 18,
    beforeLat: 59,
    receivedMs: 0,
    betweenMs: 5_000,
    headingDeg: null,
    speedMps: null,
    flags: 0,
    ...change,
  };
}

test("a vehicle takes the time between its fixes, at most ten seconds", () => {
  assert.equal(durationMs(vehicle({ betweenMs: 1_000 })), 1_000);
  assert.equal(durationMs(vehicle({ betweenMs: 10_000 })), 10_000);
  assert.equal(durationMs(vehicle({ betweenMs: 60_000 })), 10_000);
});

test("a gap, an unknown time and an impossible speed are a jump", () => {
  assert.equal(durationMs(vehicle({ betweenMs: 60_001 })), 0);
  assert.equal(durationMs(vehicle({ betweenMs: 0 })), 0);
  // 0.01 degrees of latitude in 5 s are 222 m/s.
  assert.equal(durationMs(vehicle({ beforeLat: 59.01 })), 0);
  assert.equal(progress(-1, 0), 1);
});

test("a vehicle is never ahead of its last fix, and never drives backwards", () => {
  const one = vehicle({});
  let before = -Infinity;
  for (let since = -3_000; since <= 20_000; since += 100) {
    const { lon, progress: part } = drawnPlace(one, since);
    assert.ok(lon <= one.lon + 1e-12 && lon >= one.beforeLon, `at ${since} ms: ${lon}`);
    assert.ok(part >= before, `at ${since} ms`);
    before = part;
  }
  assert.equal(before, 1);
});

test("the way over the antimeridian is the short one", () => {
  const one = vehicle({ lon: -179.9999, beforeLon: 179.9999 });
  assert.equal(durationMs(one), 5_000);
  const { lon } = drawnPlace(one, 2_500);
  assert.ok(Math.abs(Math.abs(lon) - 180) < 1e-9, String(lon));
  assert.equal(wrapped(190), -170);
});
