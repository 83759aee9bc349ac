import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pattern } from "../shared/sound";
import { AlarmRules, MUTE_MS } from "./alarm";

/** Lets seconds pass, plays all that is due, and returns what was heard and when. */
function hear(rules: AlarmRules, from: number, to: number, waiting: number, lost: boolean): [number, Pattern][] {
  const heard: [number, Pattern][] = [];
  for (let second = from; second <= to; second += 1) {
    const pattern = rules.due(second * 1_000, waiting, lost);
    if (!pattern) continue;
    rules.played(pattern, second * 1_000);
    heard.push([second, pattern]);
  }
  return heard;
}

test("an emergency sounds at once, and again until somebody has acknowledged it", () => {
  const rules = new AlarmRules();
  assert.deepEqual(hear(rules, 0, 5, 0, false), []);
  rules.emergency(10_000);
  assert.deepEqual(hear(rules, 10, 20, 1, false), [[10, "emergency"], [16, "emergency"]]);
  assert.deepEqual(hear(rules, 21, 60, 0, false), []);
});

test("a hundred at once are one sound", () => {
  const rules = new AlarmRules();
  for (let count = 0; count < 100; count += 1) rules.emergency(0);
  assert.equal(hear(rules, 0, 5, 100, false).length, 1);
});

test("an emergency that comes as a sound begins is heard with it, and a later one has a sound of its own", () => {
  const rules = new AlarmRules();
  rules.emergency(0);
  rules.played("emergency", 0);
  rules.emergency(250);
  assert.equal(rules.due(2_000, 2, false), null);
  rules.emergency(600);
  assert.equal(rules.due(2_000, 3, false), "emergency");
});

test("a mute ends after two minutes", () => {
  const rules = new AlarmRules();
  rules.mute(0);
  assert.deepEqual(hear(rules, 0, MUTE_MS / 1_000 - 1, 1, false), []);
  assert.deepEqual(hear(rules, MUTE_MS / 1_000, MUTE_MS / 1_000, 1, false), [[120, "emergency"]]);
});

test("a mute ends with the next emergency, and with the loss of contact", () => {
  const next = new AlarmRules();
  next.mute(0);
  next.emergency(500);
  assert.deepEqual(hear(next, 1, 1, 1, false), [[1, "emergency"]]);
  const lost = new AlarmRules();
  lost.mute(0);
  assert.deepEqual(hear(lost, 1, 8, 0, true), [[1, "lost"], [7, "lost"]]);
});

test("an emergency that ends a mute sounds also where the mute came with the sound before", () => {
  const rules = new AlarmRules();
  rules.emergency(0);
  rules.played("emergency", 0);
  rules.mute(100);
  rules.emergency(200);
  assert.equal(rules.pauseMs(200), 1_300);
  assert.equal(rules.due(1_500, 2, false), "emergency");
});

test("a mute holds during a loss that was known before", () => {
  const rules = new AlarmRules();
  hear(rules, 0, 1, 0, true);
  rules.mute(2_000);
  assert.deepEqual(hear(rules, 3, 60, 0, true), []);
});

test("a drill sounds once, and gives way to an emergency", () => {
  const rules = new AlarmRules();
  rules.drill();
  assert.deepEqual(hear(rules, 0, 30, 0, false), [[0, "drill"]]);
  rules.drill();
  rules.emergency(40_000);
  rules.drill();
  assert.deepEqual(hear(rules, 40, 41, 0, false), [[40, "emergency"]]);
});

test("a sound that the browser held back stays due", () => {
  const rules = new AlarmRules();
  rules.emergency(0);
  assert.equal(rules.due(0, 0, false), "emergency");
  assert.equal(rules.due(9_000, 0, false), "emergency");
});

test("a sound that must wait for the one before tells for how long", () => {
  const rules = new AlarmRules();
  rules.emergency(0);
  assert.equal(rules.pauseMs(0), null);
  rules.played("emergency", 0);
  assert.equal(rules.pauseMs(400), null);
  rules.emergency(400);
  assert.equal(rules.due(400, 1, false), null);
  assert.equal(rules.pauseMs(400), 1_100);
});
