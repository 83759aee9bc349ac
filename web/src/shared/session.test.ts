import assert from "node:assert/strict";
import { test } from "node:test";
import { mayAct, mayDecide, type Who } from "./session";

const who = (special: Partial<Who>): Who => ({ name: "eva", role: "operate", person: true, by: "ignored", ...special });

test("only what the server would take is offered", () => {
  const may = (special: Partial<Who>): boolean[] => [mayAct(who(special)), mayDecide(who(special))];
  assert.deepEqual(may({}), [true, true]);
  assert.deepEqual(may({ role: "admin" }), [true, true]);
  assert.deepEqual(may({ role: "read" }), [false, false]);
  assert.deepEqual(may({ role: "latest" }), [false, false]);
  assert.deepEqual(may({ person: false }), [true, false]);
  assert.deepEqual(may({ person: false, by: "on_behalf" }), [true, true]);
  assert.deepEqual(may({ role: "read", person: false, by: "on_behalf" }), [false, false]);
});

test("one who is not known is let try", () => {
  assert.deepEqual([mayAct(null), mayDecide(null)], [true, true]);
});
