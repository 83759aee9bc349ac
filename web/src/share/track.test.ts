import assert from "node:assert/strict";
import { test } from "node:test";
import { Track } from "./track";

const event = (lat: number, lon: number, second: number, heading_deg: number | null = null) =>
  JSON.stringify({ lat, lon, time: `2026-11-29T09:00:${String(second).padStart(2, "0")}.000Z`, heading_deg });

test("the trail has each place once, in the order of time", () => {
  const track = new Track();
  assert.ok(track.take(event(59, 18, 1, 271.5)));
  assert.ok(track.take(event(59, 18, 2)));
  assert.ok(!track.take(event(58, 17, 1)), "an older one");
  assert.ok(track.take(event(59.001, 18, 3)));
  assert.deepEqual(track.trail, [[18, 59], [18, 59.001]]);
  assert.equal(track.last?.headingDeg, null);
});

test("what tells no place is left out", () => {
  const track = new Track();
  for (const data of ["{}", '{"lat":1,"lon":2,"time":"soon"}', '{"lat":"1","lon":2,"time":"2026-11-29T09:00:00Z"}']) {
    assert.ok(!track.take(data), data);
  }
  assert.equal(track.last, null);
});

test("a trail over the antimeridian is two lines", () => {
  const track = new Track();
  [179.8, 179.9, -179.9, -179.8].forEach((lon, at) => track.take(event(0, lon, at)));
  assert.deepEqual(track.lines(), [[[179.8, 0], [179.9, 0]], [[-179.9, 0], [-179.8, 0]]]);
});
