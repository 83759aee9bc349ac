import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "./problem";
import { reason, tokenOf } from "./sign-in";
import { strings } from "./strings";

test("each refusal of a token is told in words of its own", () => {
  const said = [401, 403, 429].map((status) => reason(new Problem(status, { detail: "of the server" })));
  assert.equal(new Set(said).size, 3);
  assert.ok(!said.includes("of the server"));
  assert.equal(reason(new Problem(503, { detail: "too busy" })), "too busy");
  assert.equal(reason(new TypeError("fetch failed")), strings.common.noContact);
  assert.equal(reason(new Error(strings.common.signInNoCookie)), strings.common.signInNoCookie);
});

test("a token is taken as it is printed, alone or as the header for a file", () => {
  for (const typed of ["a-token_1", "  a-token_1\n", "Authorization: Bearer a-token_1", "  authorization:bearer  a-token_1 ", "Bearer a-token_1"])
    assert.equal(tokenOf(typed), "a-token_1");
  assert.equal(tokenOf("bearer-of-news"), "bearer-of-news");
});
