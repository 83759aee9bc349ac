import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, CROWD_SPAN_MS, isCrowd, isWaiting, newOnes, numbered, sectionOf } from "./arrange";
import { AT_MS, deed, sample } from "./sample";

const ids = (crowd: boolean, ...incidents: ReturnType<typeof sample>[]): Record<string, string[]> =>
  Object.fromEntries(
    arrange(incidents, crowd).map((section) => [section.key, section.groups.flatMap((group) => group.incidents.map((one) => one.id))]),
  );

test("an incident stands in the part that its state and kind name", () => {
  for (const [special, section] of [
    [{}, "waiting"],
    [{ state: "open" }, "waiting"],
    [{ state: "acknowledged", acknowledged: deed("Anna") }, "handled"],
    [{ state: "resolved", resolved: deed("Anna") }, "resolved"],
    [{ test: true }, "drills"],
    [{ test: true, state: "acknowledged", acknowledged: deed("Anna") }, "drills"],
    [{ test: true, state: "resolved", resolved: deed("Anna") }, "resolved"],
  ] as const) {
    assert.equal(sectionOf(sample(special)), section);
  }
  assert.ok(!isWaiting(sample({ test: true })), "a drill is no emergency that waits");
});

test("the longest wait comes first, and a new one last", () => {
  const at = (second: number): string => new Date(AT_MS + second * 1_000).toISOString();
  const found = ids(false, sample({ id: "3", opened_at: at(9) }), sample({ id: "1", opened_at: at(1) }), sample({ id: "2", opened_at: at(5) }));
  assert.deepEqual(found["waiting"], ["1", "2", "3"]);
});

test("the incidents of a vehicle in a group are numbered", () => {
  const incidents = [["1", "a"], ["4", "a"], ["3", "c"]].map(([id = "", vehicle_id = ""]) => sample({ id, vehicle_id }));
  const said = (area?: null) =>
    [...numbered({ key: "", ...(area === undefined ? {} : { area }), incidents, vehicles: 2 })].map(
      ({ incident, number, total }) => `${incident.id}: ${number} of ${total}`,
    );
  assert.deepEqual(said(null), ["1: 1 of 2", "4: 2 of 2", "3: 1 of 1"]);
  assert.deepEqual(said(), ["1: 0 of 0", "4: 0 of 0", "3: 0 of 0"]);
});

test("a crowd is grouped by area and vehicle, and nothing is left out", () => {
  const at = (lat: number, id: string, vehicle_id: string) =>
    sample({ id, vehicle_id, position: { lat, lon: 18.01, time: "", trusted: true }, opened_at: new Date(AT_MS + Number(id)).toISOString() });
  const all = [at(59.31, "1", "a"), at(10.01, "2", "b"), at(59.32, "3", "c"), at(59.33, "4", "a"), sample({ id: "5", position: null })];
  const [waiting] = arrange(all, true);
  const groups = waiting?.groups.map((group) => [group.incidents.map((one) => one.id), group.vehicles]);
  assert.deepEqual(groups, [[["5"], 1], [["1", "4", "3"], 2], [["2"], 1]]);
  assert.equal(waiting?.count, 5);
  assert.equal(waiting?.groups[0]?.area, null);
  assert.deepEqual(Object.values(ids(false, ...all)).flat().length, 5);
});

test("more than ten new ones in ten minutes are a crowd, until few are left", () => {
  const old = sample({ opened_at: new Date(AT_MS - CROWD_SPAN_MS - 1).toISOString() });
  assert.equal(newOnes([sample(), sample({ test: true }), old], AT_MS), 1);
  for (const [count, before, expected] of [[10, false, false], [11, false, true], [10, true, true], [6, true, true], [5, true, false]] as const) {
    assert.equal(isCrowd(count, before), expected, `${count} after ${before}`);
  }
});
