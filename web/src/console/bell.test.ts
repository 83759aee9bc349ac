import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Bell } from "./bell";

const ALLOWED = { allow: async () => true, allowed: true, missing: false, onChange: () => {}, played: { emergency: 0, lost: 0, drill: 0, test: 0 } };

/** Times in ms at which a bell sounds that is asked once a second, with emergencies at these times. */
function heard(emergencies: readonly number[], untilMs: number): number[] {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const times: number[] = [];
    let nowMs = 0;
    const sound = { ...ALLOWED, play: () => times.push(nowMs) > 0 };
    const bell = new Bell(() => {}, sound, () => nowMs);
    for (; nowMs < untilMs; nowMs += 1) {
      const isNew = emergencies.includes(nowMs);
      if (isNew) bell.emergency();
      if (isNew || nowMs % 1_000 === 0) bell.ring(0, false);
      mock.timers.tick(1);
    }
    return times;
  } finally {
    mock.timers.reset();
  }
}

test("an emergency soon after a sound is heard as soon as that has faded, and not with the next second", () => {
  const near = (times: number[]): number[] => times.map((time) => Math.round(time / 10) * 10);
  assert.deepEqual(near(heard([100, 1_300], 6_000)), [100, 1_600]);
  assert.deepEqual(near(heard([100, 1_300, 2_900], 6_000)), [100, 1_600, 3_100], "and none that follows comes later for it");
});
