import assert from "node:assert/strict";
import { test } from "node:test";
import type { Targets } from "../shared/api";
import { bannersFor, phoneLeavesOut, type Situation } from "./banners";
import { AT, AT_MS } from "./sample";

const target = (name: string, up: boolean) => ({ name, up, since: AT });
const targets = (special: Partial<Targets> = {}): Targets => ({ time: AT, targets: [target("primary", true)], drill: null, warnings: {}, ...special });

const calm: Situation = {
  nowMs: AT_MS + 60_000, contact: { kind: "held" }, wasHeard: true, signInWanted: false, blind: null, streamLost: null, sound: "on",
  targets: targets(), crowd: 0, missed: null,
};
const press = { signIn: () => {}, sound: () => {}, missed: () => {} };

function check(special: Partial<Situation>, expected: [key: string, weight: string][]): void {
  const found = bannersFor({ ...calm, ...special }, press);
  assert.deepEqual(found.map((banner) => [banner.key, banner.weight]), expected);
}

test("all is well without a banner", () => {
  check({}, []);
});

test("a lost server is the first thing to know", () => {
  check({ contact: { kind: "lost", since: AT_MS, why: "" }, streamLost: AT_MS, sound: "blocked" }, [["lost", "alarm"], ["sound", "warning"]]);
  const [banner] = bannersFor({ ...calm, contact: { kind: "lost", since: AT_MS, why: "" } }, press);
  assert.match(banner?.text ?? "", /for 60 s, since .*\(08:15:30 UTC\)/);
});

test("a page that waits for the sign-in says that, and not that the line is broken", () => {
  check({ signInWanted: true, contact: { kind: "lost", since: AT_MS, why: "" } }, [["sign-in", "alarm"]]);
  check({ blind: "kiosk", contact: { kind: "lost", since: AT_MS, why: "" } }, [["blind", "alarm"]]);
});

test("a broken stream is told once it lasts, and as long as the server answers", () => {
  check({ streamLost: calm.nowMs - 1_000 }, []);
  check({ streamLost: AT_MS }, [["stream", "warning"]]);
});

test("a target that is missing or silent stays told", () => {
  check({ targets: targets({ targets: [] }) }, [["no-target", "warning"]]);
  check({ targets: targets({ targets: [target("primary", true), target("county", false)] }) }, [["silent county", "warning"]]);
  check({ targets: targets({ targets: [target("primary", false)] }) }, [["all-silent", "alarm"]]);
  check({ targets: targets({ drill: target("drill", false) }) }, [["drill-silent", "note"]]);
});

test("warnings of the server are told, but not twice", () => {
  const warnings = { "emergency target": "none is set", "refused emergencies": "3 refused" };
  check({ targets: targets({ targets: [], warnings }) }, [["no-target", "warning"], ["warning refused emergencies", "warning"]]);
});

test("what was missed and a crowd are told last", () => {
  check({ missed: "…", crowd: 14, sound: "missing" }, [["sound", "warning"], ["missed", "note"], ["crowd", "note"]]);
});

test("an alarm is told above what only warns, and no phone leaves one out", () => {
  const silent = targets({ targets: [target("primary", false)], drill: target("drill", false), warnings: { journal: "it cannot be written" } });
  const told: [string, string][] = [["all-silent", "alarm"], ["sound", "warning"], ["warning journal", "warning"], ["drill-silent", "note"]];
  check({ sound: "blocked", targets: silent }, told);
  const lost: Situation = { ...calm, sound: "blocked", targets: silent, contact: { kind: "lost", since: AT_MS, why: "" } };
  const left = [{}, { sound: "blocked" as const }, { sound: "blocked" as const, targets: silent }].map((special) => phoneLeavesOut(bannersFor({ ...calm, ...special }, press)));
  assert.deepEqual([...left, phoneLeavesOut(bannersFor(lost, press))], [0, 0, 2, 3]);
});
