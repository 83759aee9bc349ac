import assert from "node:assert/strict";
import { test } from "node:test";
import { isNothing, missed, Undismissed } from "./missed";
import { AT_MS, deed, sample } from "./sample";
import { Store } from "./store";

test("an incident is new once", () => {
  const store = new Store();
  assert.ok(store.put(sample()));
  assert.ok(!store.put(sample({ quiet: true })));
  assert.equal(store.get("01")?.quiet, true);
  assert.ok(!store.put(sample({ id: "02", state: "resolved", resolved: deed("Anna") })), "what is over is not news");
});

test("a list does not undo newer news, and tells what is no longer in it", () => {
  const store = new Store();
  store.put(sample({ id: "gone" }));
  store.put(sample({ id: "touched", acknowledged: deed("Bo") }));
  store.put(sample({ id: "over", state: "resolved" }));
  const found = store.replace([sample({ id: "touched" }), sample({ id: "fresh" })], new Set(["touched"]));
  assert.deepEqual(found.added.map((one) => one.id), ["fresh"]);
  assert.deepEqual(found.vanished, ["gone"]);
  assert.equal(store.get("touched")?.acknowledged?.by, "Bo");
});

test("what was resolved long ago is forgotten, but not while it is read", () => {
  const store = new Store();
  for (const id of ["old", "read"]) store.put(sample({ id, state: "resolved", resolved: deed("Anna") }));
  store.put(sample({ id: "open" }));
  store.tidy(AT_MS + 60_000, "read");
  assert.equal(store.all().length, 3);
  store.tidy(AT_MS + 3_600_000, "read");
  assert.deepEqual(store.all().map((one) => one.id), ["read", "open"]);
});

test("what was missed is the difference, with drills apart", () => {
  const before = [sample({ id: "1" }), sample({ id: "2" }), sample({ id: "3" })];
  const acknowledged = sample({ id: "1", state: "acknowledged", acknowledged: deed("Bo") });
  const resolved = sample({ id: "2", state: "resolved", resolved: deed("Bo") });
  const found = missed(before, [acknowledged, resolved, sample({ id: "3" }), sample({ id: "4" }), sample({ id: "5", test: true })]);
  const ids = [found.opened, found.acknowledged, found.resolved].map((some) => some.map((one) => one.id));
  assert.deepEqual(ids, [["4"], ["1"], ["2"]]);
  assert.equal(found.drills, 1);
  assert.ok(isNothing(missed(before, before)));
});

test("what was missed is told until it is dismissed, and a further loss of contact adds to it", () => {
  const undismissed = new Undismissed();
  const told = (nowMs: number) => {
    const absence = undismissed.at(nowMs);
    return absence && [absence.awayMs, absence.missed.opened.map((one) => one.id), absence.missed.drills];
  };
  undismissed.add({ missed: missed([], []), awayMs: 5_000 }, 0);
  assert.deepEqual([told(29_999), told(30_000)], [[5_000, [], 0], null], "that nothing was missed is told for a while");
  undismissed.add({ missed: missed([], [sample({ id: "1" })]), awayMs: 7_000 }, 40_000);
  undismissed.add({ missed: missed([], []), awayMs: 1_000 }, 41_000);
  assert.deepEqual(told(3_600_000), [8_000, ["1"], 0]);
  undismissed.add({ missed: missed([], [sample({ id: "2" }), sample({ id: "3", test: true })]), awayMs: 1_000 }, 42_000);
  assert.deepEqual(told(3_600_000), [9_000, ["1", "2"], 1]);
  undismissed.dismiss();
  undismissed.add({ missed: missed([], [sample({ id: "4" })]), awayMs: 2_000 }, 43_000);
  assert.deepEqual(told(43_000), [2_000, ["4"], 0]);
});
