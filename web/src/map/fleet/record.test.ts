import assert from "node:assert/strict";
import { test } from "node:test";
import { tileFrame } from "./frame.ts";
import { readTile, vehicleAt, type Vehicle } from "./record.ts";
import { tileX, tileY } from "./cover.ts";

function bytes(version: number, count: number, kind = 0): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(64));
  view.setUint16(0, 32, true);
  view.setUint16(2, version, true);
  view.setUint32(4, count, true);
  view.setBigInt64(8, 1_795_896_369_802n, true);
  view.setBigInt64(16, 1_795_896_369_000n, true);
  view.setUint8(24, kind);
  return view;
}

test("a vehicle is read as the server wrote it", () => {
  const view = bytes(1, 1);
  [-1_799_999_999, 850_000_001, 1_799_999_999, 850_000_000].forEach((value, at) => view.setInt32(32 + 4 * at, value, true));
  [250, 120_000, 0xdead_beef].forEach((value, at) => view.setUint32(48 + 4 * at, value, true));
  view.setUint16(60, 35_999, true);
  view.setUint8(62, 255);
  view.setUint8(63, 5);
  const tile = readTile(view.buffer);
  assert.ok(tile);
  const expected: Vehicle = {
    key: 0xdead_beef,
    lon: -179.9999999,
    lat: 85.0000001,
    beforeLon: 179.9999999,
    beforeLat: 85,
    receivedMs: 1_795_896_368_750,
    betweenMs: 120_000,
    headingDeg: 359.99,
    speedMps: null,
    flags: 5,
  };
  assert.deepEqual(vehicleAt(tile, 0), expected);
  assert.equal(tile.tickMs, 1_795_896_369_802);
});

test("content of another version, or cut off, is not read", () => {
  assert.equal(readTile(bytes(2, 1).buffer), null);
  assert.equal(readTile(bytes(1, 2).buffer), null);
  assert.equal(readTile(new ArrayBuffer(8)), null);
  assert.equal(readTile(bytes(1, 0, 1).buffer)?.tooMany, true);
});

test("the series of a tile agrees with Mercator's projection within half a pixel at zoom 19", () => {
  for (const [z, x, y] of [
    [11, 467, 843],
    [11, 0, 5],
    [14, 16_383, 8_191],
    [11, 1024, 2040],
  ] as const) {
    const frame = tileFrame({ z, x, y });
    for (const [lon, lat] of [
      [0.05, 0.05],
      [-0.08, -0.0005],
      [0.001, 0.02],
    ] as const) {
      const [degreesLon, degreesLat] = [frame.centre[0] / 1e7 + lon, frame.centre[1] / 1e7 + lat * frame.cosLat];
      const north = degreesLat - frame.centre[1] / 1e7;
      const [n1, n2, n3] = frame.north;
      const px = 512 * 2 ** (19 - z);
      const [atX, atY] = [0.5 + lon * frame.east, 0.5 - north * (n1 + north * (n2 + north * n3))];
      assert.ok(Math.abs(atX - (tileX(degreesLon, z) - x)) * px < 0.5, `x of ${z}/${x}/${y}`);
      assert.ok(
        Math.abs(atY - (tileY(degreesLat, z) - y)) * px < 0.5,
        `y of ${z}/${x}/${y}: ${(atY - (tileY(degreesLat, z) - y)) * px}`,
      );
    }
  }
});
