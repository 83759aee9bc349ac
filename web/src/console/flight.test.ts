import assert from "node:assert/strict";
import { test } from "node:test";
import { flightMs } from "./flight";

test("a short way is flown, and to a far place the map jumps", () => {
  assert.equal(flightMs(11, 13, true), 600);
  assert.equal(flightMs(13, 10, true), 600);
  assert.equal(flightMs(1, 13, true), 0, "from the whole Earth to a street");
  assert.equal(flightMs(13, 13, false), 0, "to another city");
});
