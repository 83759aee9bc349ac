import assert from "node:assert/strict";
import { test } from "node:test";
import { ContactRules, LOST_AFTER_MS } from "./contact";

test("contact is lost after five seconds without an answer, and back with the next one", () => {
  const rules = new ContactRules(0);
  assert.deepEqual(rules.state(4_999), { kind: "starting" });
  rules.answered(1_000);
  rules.failed("no answer");
  assert.deepEqual(rules.state(1_000 + LOST_AFTER_MS - 1), { kind: "held" });
  assert.deepEqual(rules.state(1_000 + LOST_AFTER_MS), { kind: "lost", since: 1_000, why: "no answer" });
  rules.answered(9_000);
  assert.deepEqual(rules.state(9_000), { kind: "held" });
});

test("the server is asked every two seconds, sooner after a failure, and never twice at a time", () => {
  const rules = new ContactRules(0);
  assert.ok(rules.ask(0));
  assert.ok(!rules.ask(60_000), "one question is under way");
  rules.answered(60_000);
  assert.ok(rules.ask(60_000));
  rules.answered(60_100);
  assert.deepEqual([rules.ask(61_000), rules.ask(62_000)], [false, true]);
  rules.failed("no answer");
  assert.ok(rules.ask(63_000));
});

test("a page that stood still asks before it calls contact lost", () => {
  const rules = new ContactRules(0);
  rules.answered(0);
  rules.tick(1_000);
  rules.tick(3_600_000);
  assert.equal(rules.state(3_600_000).kind, "held");
  rules.tick(3_601_000);
  rules.tick(3_602_000);
  assert.deepEqual(rules.state(3_602_000), { kind: "lost", since: 0, why: "" });
});
