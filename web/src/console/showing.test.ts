import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Showing } from "./showing";

/** Times in ms at which something is shown that takes `costMs`, after changes at these times; true for a new emergency. */
function shown(costMs: number, changes: readonly (readonly [atMs: number, isUrgent: boolean])[]): number[] {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const times: number[] = [];
    let nowMs = 0;
    const showing = new Showing(
      () => {
        times.push(nowMs);
        // The clock goes on while it is drawn, and no timer does.
        nowMs += costMs;
      },
      () => nowMs,
    );
    const left = [...changes];
    for (let at = 0; at < 10_000; at += 1) {
      nowMs = Math.max(nowMs, at);
      while (left[0] && left[0][0] <= at) showing.soon(left.shift()?.[1]);
      mock.timers.tick(1);
    }
    return times.map((time) => Math.round(time / 100) * 100);
  } finally {
    mock.timers.reset();
  }
}

test("changes that come together are shown together", () => {
  assert.deepEqual(shown(1, [[0, false], [30, false], [60, true], [500, false]]), [100, 600]);
});

test("what takes long is shown seldom, so that the person can do something in between", () => {
  assert.deepEqual(shown(300, [[0, false], [500, false], [600, false]]), [100, 1_700]);
});

test("a new emergency after a rest is shown at once, and the next one after a pause", () => {
  assert.deepEqual(shown(1, [[500, true], [520, true], [2_000, true]]), [500, 600, 2_000]);
});

test("a new emergency does not wait for a showing that once took long", () => {
  assert.deepEqual(shown(300, [[0, false], [500, true]]), [100, 700]);
  assert.deepEqual(shown(300, [[0, false], [500, false], [700, true]]), [100, 700], "also when another change waits");
});

test("half of the time is left for the person, however many emergencies there are", () => {
  assert.deepEqual(shown(1_000, [[0, true], [1_200, true], [3_300, true]]), [0, 2_000, 4_000]);
});
