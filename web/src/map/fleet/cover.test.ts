import assert from "node:assert/strict";
import { test } from "node:test";
import { cover, drawList, nameOf, tileY, type Kept, type TileId } from "./cover.ts";

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

/** Tiles that are here: up to date, or as they were at this time. */
const kept =
  (there: Record<string, "now" | number>) =>
  (tile: TileId): Kept | null => {
    const time = there[nameOf(tile)];
    return time === undefined ? null : { current: time === "now", heardAt: time === "now" ? 1_000 : time };
  };
const NEEDED = [
  { z: 13, x: 10, y: 10 },
  { z: 13, x: 11, y: 10 },
];

test("what is up to date is drawn; for the rest the nearest above, or all below", () => {
  assert.deepEqual(names(drawList(NEEDED, kept({ "13/10/10": "now", "13/11/10": "now" }))), ["13/10/10", "13/11/10"]);
  const below = kept({ "14/22/20": 999, "14/23/21": 999, "13/10/10": "now" });
  assert.deepEqual(names(drawList(NEEDED, below)), ["13/10/10", "14/22/20", "14/23/21"]);
});

test("no vehicle is drawn twice: a tile above stands for all tiles in it", () => {
  assert.deepEqual(names(drawList(NEEDED, kept({ "13/10/10": "now", "12/5/5": 999 }))), ["12/5/5"]);
});

test("no vehicle goes back to where an older tile has it, when the view changes its zoom", () => {
  const older = kept({ "13/10/10": 10, "13/11/10": 10, "14/20/20": 999, "14/21/20": 5, "14/22/20": 999 });
  assert.deepEqual(names(drawList(NEEDED, older)), ["14/20/20", "14/21/20", "14/22/20"]);
  assert.deepEqual(names(drawList(NEEDED, kept({ "13/10/10": 10, "13/11/10": 10, "12/5/5": 999 }))), ["12/5/5"]);
  // Without anything newer it is better than nothing.
  assert.deepEqual(names(drawList(NEEDED, kept({ "13/10/10": 10, "13/11/10": 10 }))), ["13/10/10", "13/11/10"]);
});
