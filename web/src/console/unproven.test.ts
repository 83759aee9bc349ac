import assert from "node:assert/strict";
import { test } from "node:test";
import type { UnprovenCall } from "../shared/api";
import { AT_MS } from "./sample";
import { foremost, lineOf, senderOf, SHOWN_MAX } from "./unproven";

const call = (special: Partial<UnprovenCall>): UnprovenCall => ({
  n: 1, reason: "no_seal", vehicle_id: null, key_id: null, address: "192.0.2.7", test: false, lat: null, lon: null,
  first_at: new Date(AT_MS).toISOString(), last_at: new Date(AT_MS).toISOString(), count: 1, ...special,
});

test("a call is named by what it says of itself", () => {
  assert.equal(senderOf(call({ vehicle_id: "bus 7", key_id: "00ff" })), "bus 7");
  assert.equal(senderOf(call({ key_id: "0001020304050607" })), "Key 0001020304050607");
  assert.equal(senderOf(call({})), "Sender not known");
});

test("a reason that the page does not know is told as it is", () => {
  assert.equal(lineOf(call({}), AT_MS + 12_000), "not sealed · from 192.0.2.7 · once, last 12 s ago");
  assert.equal(lineOf(call({ reason: "too_odd", count: 3 }), AT_MS), "too_odd · from 192.0.2.7 · 3 times, last now");
});

test("a call that says it is a drill is told as one", () => {
  assert.equal(lineOf(call({ test: true }), AT_MS), "drill · not sealed · from 192.0.2.7 · once, last now");
});

test("of a flood the latest are shown", () => {
  const flood = Array.from({ length: 30 }, (_, n) => call({ n, last_at: new Date(AT_MS + n * 1_000).toISOString() }));
  const shown = foremost(flood);
  assert.deepEqual([shown.length, shown[0]?.n, shown.at(-1)?.n], [SHOWN_MAX, 29, 10]);
});

test("a call under the key of a vehicle is not buried under later ones that are made up", () => {
  const flood = Array.from({ length: 30 }, (_, n) => call({ n, reason: "unknown_key", key_id: "00ff", last_at: new Date(AT_MS + n * 1_000).toISOString() }));
  const known = call({ n: 99, reason: "bad_tag", vehicle_id: "bus 7", key_id: "0001020304050607" });
  assert.deepEqual(foremost([...flood, known]).slice(0, 2).map(({ n }) => n), [99, 29]);
});
