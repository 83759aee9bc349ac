import assert from "node:assert/strict";
import { test } from "node:test";
import { apiBox, boundsOf } from "./bounds.ts";

test("the box leaves out the widest gap, also at the antimeridian", () => {
  assert.deepEqual(
    boundsOf([
      [10, 50],
      [20, 60],
    ]),
    { west: 10, east: 20, south: 50, north: 60 },
  );
  assert.deepEqual(
    boundsOf([
      [170, -10],
      [-170, 10],
      [179, 0],
    ]),
    { west: 170, east: 190, south: -10, north: 10 },
  );
  assert.deepEqual(boundsOf([[5, 5]]), { west: 5, east: 5, south: 5, north: 5 });
  assert.equal(boundsOf([]), null);
});

test("the API gets a box within the world, and all of it where the view goes round", () => {
  assert.deepEqual(apiBox({ west: 170, east: 190, south: -95, north: 10 }), { west: 170, east: -170, south: -90, north: 10 });
  assert.deepEqual(apiBox({ west: -300, east: 300, south: 0, north: 1 }), { west: -180, east: 180, south: 0, north: 1 });
});
