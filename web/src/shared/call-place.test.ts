import assert from "node:assert/strict";
import { test } from "node:test";
import { placeStanding } from "./call-place.ts";

const OPENED = "2026-11-30T20:52:23.000Z";
const BEFORE = "2026-11-30T20:52:11.000Z";
const AFTER = "2026-11-30T20:52:32.000Z";

const standing = (time: string, how: { trusted: boolean; unsure?: boolean }) =>
  placeStanding({ opened_at: OPENED, position: { lat: 59.33, lon: 18.06, time, ...how } });

test("a place is the call's own, of a report since, or the last known one", () => {
  assert.equal(standing(BEFORE, { trusted: true }), "own");
  assert.equal(standing(AFTER, { trusted: false }), "since");
  assert.equal(standing(BEFORE, { trusted: false }), "lastKnown");
  assert.equal(standing(AFTER, { trusted: false, unsure: true }), "lastKnown");
  assert.equal(placeStanding({ opened_at: OPENED, position: null }), "none");
});
