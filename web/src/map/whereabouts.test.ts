import assert from "node:assert/strict";
import { test } from "node:test";
import { nameOf, tileX, tileY, type TileId } from "./fleet/cover.ts";
import type { Place } from "../shared/bounds.ts";
import { whereabouts } from "./whereabouts.ts";

const EXTENT = 4096;

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >> 7)]);
const field = (number: number, bytes: number[]) => [number * 8 + 2, ...varint(bytes.length), ...bytes];

/** The tile as the server counts it: a point for each cell with vehicles, in the middle of these. */
function tile(fleet: Place[], id: TileId): Uint8Array {
  const cells = new Map<string, [x: number, y: number][]>();
  for (const [lon, lat] of fleet) {
    const [x, y] = [tileX(lon, id.z) - id.x, tileY(lat, id.z) - id.y];
    if (x < 0 || x >= 1 || y < 0 || y >= 1) continue;
    const cell = `${Math.floor(x * 8)} ${Math.floor(y * 8)}`;
    cells.set(cell, [...(cells.get(cell) ?? []), [x, y]]);
  }
  const middle = (all: [number, number][], axis: 0 | 1) => Math.round((all.reduce((sum, one) => sum + one[axis], 0) / all.length) * EXTENT);
  const features = [...cells.values()].flatMap((all) => field(2, field(4, [9, ...varint(middle(all, 0) * 2), ...varint(middle(all, 1) * 2)])));
  return Uint8Array.from(cells.size === 0 ? [] : field(3, features));
}

/** Finds a fleet; returns its box, rounded outwards to whole parts of a degree, and the number of tiles that were read. */
async function find(fleet: Place[]) {
  const asked: string[] = [];
  const places = await whereabouts(async (id) => {
    asked.push(nameOf(id));
    return tile(fleet, id);
  });
  const [lons, lats] = [places.map(([lon]) => lon), places.map(([, lat]) => lat)];
  return { west: Math.min(...lons), east: Math.max(...lons), south: Math.min(...lats), north: Math.max(...lats), tiles: asked.length };
}

const around = ([lon, lat]: Place, degrees: number): Place[] =>
  Array.from({ length: 100 }, (_, at): Place => [lon + degrees * ((at % 10) / 9 - 0.5), lat + degrees * (Math.floor(at / 10) / 9 - 0.5)]);
const near = (got: number, wanted: number, degrees: number) => assert.ok(Math.abs(got - wanted) <= degrees, `${got} is not near ${wanted}`);

test("of a fleet in cities around the Earth all are found", async () => {
  const cities: Place[] = [[-122.4, 37.8], [-58.4, -34.6], [18.1, 59.3], [18.4, -33.9], [139.7, 35.7], [174.8, -41.3]];
  const found = await find(cities.flatMap((city) => around(city, 0.2)));
  near(found.west, -122.4, 1);
  near(found.east, 174.8, 1);
  near(found.south, -41.3, 1);
  near(found.north, 59.3, 1);
  assert.ok(found.tiles <= 7, `${found.tiles} tiles were read`);
});

test("a fleet of one city is found to a part of it", async () => {
  const found = await find(around([-97.74, 30.27], 0.4));
  near(found.west, -97.94, 0.05);
  near(found.east, -97.54, 0.05);
  near(found.south, 30.07, 0.05);
  near(found.north, 30.47, 0.05);
});

test("a group that is gone when it is looked at is where it was counted", async () => {
  const fleet = around([10, 50], 0.2);
  const places = await whereabouts(async (id) => (id.z === 0 ? tile(fleet, id) : new Uint8Array()));
  assert.equal(places.length, 1);
  near(places[0]![0], 10, 0.1);
});

test("no vehicle is nowhere", async () => {
  assert.deepEqual(await whereabouts(async () => new Uint8Array()), []);
});
