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
  return seeAgain(memory, null, vehicles, now, held).starts;
}

/** Sees a tile whose last update gave the numbers `before`. */
function seeAgain(memory: Memory, before: Int32Array | null, vehicles: One[], now: number, held: number[] = []) {
  const content = tile(vehicles);
  const { starts, numbers } = memory.setOut(content, before, BEGIN + now, content.baseMs, new Set(held));
  return { numbers, starts: [...starts].map((start) => (start + now <= ARRIVED / 2 ? ARRIVED : start + now)) };
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

test("whoever leaves a tile or comes into it, the others are still known", () => {
  const memory = new Memory(BEGIN);
  const random = chance(7);
  const fleet = Array.from({ length: 200 }, () => random() | 0);
  let numbers: Int32Array | null = null;
  const arrivals = new Map<number, number>();
  for (let tick = 1; tick <= 100; tick += 1) {
    // Sometimes a single vehicle is elsewhere, sometimes half of the fleet.
    const away = tick % 10 === 0 ? 2 : 50;
    const here = fleet.filter(() => random() % away !== 0).map((key): One => ({ key, received: tick * 1_000, lon: tick * 1_000 }));
    if (here.length === 0) continue;
    const now = tick * 1_000 + 500;
    const seen = seeAgain(memory, numbers, here, now);
    numbers = seen.numbers;
    here.forEach(({ key }, at) => {
      assert.equal(seen.starts[at], arrivals.has(key) ? now : tick * 1_000, `tick ${tick}, vehicle ${at}`);
      arrivals.set(key, (arrivals.get(key) ?? 0) + 1);
    });
  }
  for (const key of fleet) assert.equal(memory.trail(key).length, arrivals.get(key));
});

test("numbers that another vehicle has by now are of no use, and do no harm", () => {
  const memory = new Memory(BEGIN);
  see(memory, [{ key: 0, received: 1_000 }, { key: 7, received: 1_000 }], 1_000);
  const wrong = Int32Array.from([9, 1, 2, 1_000_000]);
  assert.deepEqual(seeAgain(memory, wrong, [{ key: 0, received: 1_000 }, { key: 7, received: 2_000 }], 2_500).starts, [1_000, 2_500]);
});

function chance(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 4;
}
