import assert from "node:assert/strict";
import { test } from "node:test";
import type { UnprovenCall } from "../shared/api";
import { AT_MS } from "./sample";
import { byRank, lineOf, senderOf } from "./unproven";

const call = (special: Partial<UnprovenCall>): UnprovenCall => ({
  n: 1, reason: "no_seal", vehicle_id: null, key_id: null, has_key: false, address: "192.0.2.7", test: false, lat: null, lon: null,
  first_at: new Date(AT_MS).toISOString(), last_at: new Date(AT_MS).toISOString(), count: 1, ...special,
});

test("a call is named by what it says of itself", () => {
  assert.equal(senderOf(call({ vehicle_id: "bus 7", key_id: "00ff" })), "bus 7");
  assert.equal(senderOf(call({ key_id: "0001020304050607" })), "Key 0001020304050607");
  assert.equal(senderOf(call({})), "Sender not known");
});

test("a reason that the page does not know is told as it is", () => {
  assert.equal(lineOf(call({}), AT_MS + 12_000), "not sealed · from 192.0.2.7 · once, last 12 s ago");
  assert.equal(lineOf(call({ reason: "too_odd", count: 3 }), AT_MS), "too_odd · from 192.0.2.7 · 3 times, last just now");
});

test("a call that says it is a drill is told as one", () => {
  assert.equal(lineOf(call({ test: true }), AT_MS), "drill · not sealed · from 192.0.2.7 · once, last just now");
});

const flood = (special: Partial<UnprovenCall>): UnprovenCall[] =>
  Array.from({ length: 30 }, (_, n) => call({ ...special, n, last_at: new Date(AT_MS + n * 1_000).toISOString() }));

test("of a flood the latest come first", () => {
  const ranked = byRank(flood({}));
  assert.deepEqual([ranked.length, ranked[0]?.n, ranked.at(-1)?.n], [30, 29, 0]);
});

test("a call for which there is a key is not buried under later ones that are made up", () => {
  const unsealed = call({ n: 97, reason: "no_seal", vehicle_id: "bus 7", has_key: true });
  const borrowed = call({ n: 98, reason: "wrong_vehicle", vehicle_id: "tram 4", key_id: "0001020304050607" });
  const gateway = call({ n: 99, reason: "bad_tag", key_id: "0001020304050608", has_key: true, last_at: new Date(AT_MS + 1).toISOString() });
  for (const made of [{ reason: "unknown_key", key_id: "00ff" }, { vehicle_id: "bus 8" }]) {
    const first = byRank([...flood(made), borrowed, unsealed, gateway]).slice(0, 4);
    assert.deepEqual(first.map(({ n }) => n), [99, 97, 98, 29]);
  }
});
