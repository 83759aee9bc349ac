import assert from "node:assert/strict";
import { test } from "node:test";
import { cover, drawList, nameOf, tileY, type TileId } from "./cover.ts";

const names = (tiles: TileId[]) => tiles.map(({ z, x, y }) => `${z}/${x}/${y}`).sort();

test("a view is covered by tiles of its zoom, between 11 and 14", () => {
  const view = { west: -97.75, east: -97.74, south: 30.26, north: 30.27 };
  assert.deepEqual(names(cover(view, 11.9)), ["11/467/843"]);
  assert.deepEqual(
    cover(view, 17).map((tile) => tile.z),
    [14],
  );
});

test("a view over the antimeridian needs the tiles of both sides", () => {
  const tiles = cover({ west: 179.9, east: 180.1, south: 0.01, north: 0.02 }, 11);
  assert.deepEqual(tiles.map(nameOf), ["11/2047/1023", "11/0/1023"]);
  assert.ok(Math.abs(tileY(0, 11) - 1024) < 1e-9);
});

test("what is loaded is drawn; for the rest the nearest above, or all below", () => {
  const needed = [
    { z: 13, x: 10, y: 10 },
    { z: 13, x: 11, y: 10 },
  ];
  const loaded =
    (...there: string[]) =>
    (tile: TileId) =>
      there.includes(nameOf(tile));
  assert.deepEqual(names(drawList(needed, loaded("13/10/10", "13/11/10"))), ["13/10/10", "13/11/10"]);
  assert.deepEqual(names(drawList(needed, loaded("14/22/20", "14/23/21", "13/10/10"))), ["13/10/10", "14/22/20", "14/23/21"]);
});

test("no vehicle is drawn twice: a tile above stands for all tiles in it", () => {
  const needed = [
    { z: 13, x: 10, y: 10 },
    { z: 13, x: 11, y: 10 },
  ];
  const list = drawList(needed, (tile) => ["13/10/10", "12/5/5"].includes(nameOf(tile)));
  assert.deepEqual(names(list), ["12/5/5"]);
});
