import assert from "node:assert/strict";
import { test } from "node:test";
import { age, ago, utcTime } from "./time.ts";
import { distance, heading, speed } from "./units.ts";

test("speeds and distances have the digits that anybody reads", () => {
  assert.equal(speed(13.9, "metric"), "50 km/h");
  assert.equal(speed(13.9, "imperial"), "31 mph");
  assert.equal(distance(85.4, "metric"), "85 m");
  assert.equal(distance(1234, "metric"), "1.2 km");
  assert.equal(distance(999_600, "metric"), "1,000 km");
  assert.equal(distance(100, "imperial"), "328 ft");
  assert.equal(distance(5000, "imperial"), "3.1 mi");
});

test("a heading has a name and a number", () => {
  assert.equal(heading(359.7), "N 0°");
  assert.equal(heading(44), "NE 44°");
});

test("ages are in plain units, and in seconds only below two minutes", () => {
  const cases: [number, string][] = [
    [-60, "60 s ahead"],
    [-600, "10 min ahead"],
    [0.4, "now"],
    [12, "12 s"],
    [119.4, "119 s"],
    [119.6, "2 min"],
    [600, "10 min"],
    [7100, "118 min"],
    [7200, "2 h"],
    [400_000, "5 d"],
  ];
  for (const [seconds, text] of cases) assert.equal(age(seconds), text);
});

test("a moment ahead is not told as one ago", () => {
  assert.deepEqual([-300, 0.4, 300].map(ago), ["5 min ahead", "just now", "5 min ago"]);
});

test("UTC has the day where it is another one", () => {
  const at = Date.parse("2026-11-22T08:15:30Z");
  assert.equal(utcTime(at, at), "08:15:30 UTC");
  assert.equal(utcTime(at, at + 86_400_000), "2026-11-22 08:15:30 UTC");
});
