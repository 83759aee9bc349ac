import assert from "node:assert/strict";
import { test } from "node:test";
import { ARRIVED, Memory } from "./memory.ts";
import { DRILL, REAL, STRIDE, readTile, type Tile } from "./record.ts";

const BEGIN = 1_795_000_000_000;

interface One {
  key: number;
  /** Arrival in ms after the begin. */
  received: number;
  lon?: number;
  /** Time since the fix before, in ms; 0 where none is known. */
  between?: number;
  flags?: number;
}

function tile(vehicles: One[]): Tile {
  const bytes = new ArrayBuffer(STRIDE * (vehicles.length + 1));
  const view = new DataView(bytes);
  const base = Math.max(...vehicles.map((one) => one.received));
  view.setUint16(0, STRIDE, true);
  view.setUint16(2, 1, true);
  view.setUint32(4, vehicles.length, true);
  view.setBigInt64(8, BigInt(BEGIN + base), true);
  view.setBigInt64(16, BigInt(BEGIN + base), true);
  vehicles.forEach(({ key, received, lon = 0, between = 1_000, flags = 0 }, at) => {
    const from = STRIDE * (at + 1);
    view.setInt32(from, lon, true);
    view.setInt32(from + 8, lon - 100, true);
    view.setUint32(from + 16, base - received, true);
    view.setUint32(from + 20, between, true);
    view.setUint32(from + 24, key, true);
    view.setUint8(from + 31, flags);
  });
  const read = readTile(bytes);
  assert.ok(read);
  return read;
}

/** Sees a tile at `now`, in ms after the begin, with both clocks alike; returns the times of setting out after the begin. */
function see(memory: Memory, vehicles: One[], now: number, held: number[] = []): number[] {
  const content = tile(vehicles);
  const starts = new Float32Array(content.count);
  memory.setOut(content, starts, BEGIN + now, content.baseMs, new Set(held));
  return [...starts].map((start) => (start + now <= ARRIVED / 2 ? ARRIVED : start + now));
}

test("at first sight the arrival counts, later the moment a new fix is seen", () => {
  const memory = new Memory(BEGIN);
  assert.deepEqual(see(memory, [{ key: 7, received: 1_000 }], 3_000), [1_000]);
  assert.deepEqual(see(memory, [{ key: 7, received: 4_000 }], 4_500), [4_500]);
  assert.deepEqual(see(memory, [{ key: 7, received: 4_000 }], 5_500), [4_500], "the same fix, seen again in another tile");
});

test("after the page looked away the arrival counts again", () => {
  const memory = new Memory(BEGIN);
  see(memory, [{ key: 7, received: 1_000 }], 1_000);
  assert.deepEqual(see(memory, [{ key: 7, received: 60_000 }], 90_000), [60_000]);
});

test("who is held is at the last fix, and stays there until the next one", () => {
  const memory = new Memory(BEGIN);
  assert.deepEqual(see(memory, [{ key: 7, received: 1_000 }], 1_000, [7]), [ARRIVED]);
  assert.deepEqual(see(memory, [{ key: 7, received: 1_000 }], 2_000), [ARRIVED], "no longer held: not sent back");
  assert.deepEqual(see(memory, [{ key: 7, received: 3_000 }], 3_500), [3_500]);
  for (const flags of [REAL, DRILL]) assert.deepEqual(see(memory, [{ key: 8, received: 1_000, flags }], 1_000), [ARRIVED]);
});

test("a fix before that is told later sends nobody back", () => {
  const memory = new Memory(BEGIN);
  see(memory, [{ key: 7, received: 1_000 }], 1_000);
  assert.deepEqual(see(memory, [{ key: 7, received: 3_000, between: 0 }], 3_500), [ARRIVED]);
  assert.deepEqual(see(memory, [{ key: 7, received: 3_000, between: 2_000 }], 4_500), [ARRIVED]);
  assert.deepEqual(see(memory, [{ key: 7, received: 5_000, between: 2_000 }], 5_500), [5_500]);
});

test("keys above 31 bits are held too, and found", () => {
  const memory = new Memory(BEGIN);
  const key = 0xffff_fff0;
  assert.deepEqual(see(memory, [{ key, received: 1_000 }], 1_000, [key]), [ARRIVED]);
  assert.equal(memory.trail(key).length, 1);
});

test("a trail has the places since the page saw the vehicle first, oldest first", () => {
  const memory = new Memory(BEGIN);
  for (let tick = 1; tick <= 4; tick += 1)
    see(memory, [{ key: 7, received: tick * 1_000, lon: tick * 10_000_000 }], tick * 1_000);
  assert.deepEqual(
    memory.trail(7).map(([lon]) => Math.round(lon)),
    [1, 2, 3, 4],
  );
  assert.deepEqual(memory.trail(8), []);
});

test("a hundred thousand vehicles are told apart, those with the same low bits too", () => {
  const memory = new Memory(BEGIN);
  const all = Array.from({ length: 100_000 }, (_, at): One => ({
    key: ((at % 50_000) << 16) | Math.floor(at / 50_000),
    received: at + 1,
  }));
  see(memory, all, 200_000);
  assert.deepEqual(
    see(memory, all, 300_000),
    all.map((one) => one.received),
    "the same fixes: nobody sets out anew",
  );
});
