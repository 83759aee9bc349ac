import assert from "node:assert/strict";
import { test } from "node:test";
import { readLink, writeLink, type Link } from "./link.ts";

const NOTHING: Link = { view: null, vehicle: null, filter: "all", list: false };

test("a link is read as it was written", () => {
  const all: Link = { view: { zoom: 12.5, lat: 30.27, lon: -97.74 }, vehicle: "bus 7 & <b>#", filter: "moving", list: true };
  assert.deepEqual(readLink(writeLink(all)), all);
  assert.deepEqual(readLink(writeLink(NOTHING)), NOTHING);
  assert.match(writeLink(all), /^#map=12\.50\/30\.2700\d*\/-97\.7400\d*&/);
});

test("what cannot be read is as if it were not there", () => {
  for (const hash of ["", "#", "#map=1/2", "#map=a/b/c", "#map=3/95/0", "#map=-1/0/0", "#show=everything", "#map=1e9/0/0"]) {
    assert.deepEqual(readLink(hash), NOTHING, hash);
  }
});
