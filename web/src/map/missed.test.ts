import assert from "node:assert/strict";
import { test } from "node:test";
import { add, type Absence } from "./missed";

const NOTHING: Absence = { missed: { calls: [], drills: [], resolved: 0 }, awayMs: 3_000 };
const BUS_8: Absence = { missed: { calls: ["bus 8"], drills: ["bus 1"], resolved: 1 }, awayMs: 4_000 };

test("a further loss of contact adds to what was missed", () => {
  const later = { missed: { calls: ["bus 9", "bus 8"], drills: [], resolved: 2 }, awayMs: 5_000 };
  assert.deepEqual(add(BUS_8, later), { missed: { calls: ["bus 8", "bus 9"], drills: ["bus 1"], resolved: 3 }, awayMs: 9_000 });
  assert.deepEqual(add(BUS_8, NOTHING), { ...BUS_8, awayMs: 7_000 });
});

test("a loss in which nothing was missed is not counted with the next one", () => {
  assert.deepEqual(add(NOTHING, BUS_8), BUS_8);
  assert.deepEqual(add(null, NOTHING), NOTHING);
});
