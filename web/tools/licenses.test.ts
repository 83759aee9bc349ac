import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { allowedLicences, isAllowed, nameOf } from "./licenses";

test("the licences that are allowed are those of deny.toml", () => {
  const allowed = allowedLicences(readFileSync("../deny.toml", "utf8"));
  assert.ok(allowed.has("MIT") && allowed.has("BSD-3-Clause"));
  assert.ok(!allowed.has("GPL-3.0") && !allowed.has("openssl-sys") && !allowed.has("x86_64-unknown-linux-gnu"));
});

test("a licence is read as it is meant", () => {
  const allowed = new Set(["MIT", "ISC"]);
  for (const [licence, expected] of [
    ["MIT", true],
    ["GPL-3.0", false],
    ["(MIT OR GPL-3.0)", true],
    ["GPL-3.0 OR MIT", true],
    ["MIT AND ISC", true],
    ["MIT AND GPL-3.0", false],
    ["none", false],
  ] as const) {
    assert.equal(isAllowed(licence, allowed), expected, licence);
  }
});

test("a package is named without the packages around it", () => {
  assert.equal(nameOf("node_modules/pbf"), "pbf");
  assert.equal(nameOf("node_modules/a/node_modules/@scope/b"), "@scope/b");
});
