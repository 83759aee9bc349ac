/**
 * Binary tiles: strides of 32 bytes, little endian; the first is a header, each further one is a vehicle.
 *
 * The bytes go to the graphics card as they came. What is read here is read for what is asked: a click, the list, the trail.
 */
export const STRIDE = 32;
const WORDS = STRIDE / 4;
const VERSION = 1;

/** Degrees in a unit of the tile's coordinates. */
export const DEGREE = 1e-7;
export const UNKNOWN_HEADING = 65_535;
export const UNKNOWN_SPEED = 255;
export const REAL = 1;
export const DRILL = 2;
export const UNSURE = 4;

/** Vehicles of a tile, or the fact that there are too many to draw singly. */
export interface Tile {
  readonly bytes: ArrayBuffer;
  readonly count: number;
  readonly tooMany: boolean;
  /** Server's time in ms at which the content was made. */
  readonly tickMs: number;
  /** Server's time in ms at which the newest fix arrived. */
  readonly baseMs: number;
  readonly words: Int32Array<ArrayBuffer>;
}

/** One vehicle of a tile; places in degrees, times in ms of the server's clock. */
export interface Vehicle {
  key: number;
  lon: number;
  lat: number;
  beforeLon: number;
  beforeLat: number;
  receivedMs: number;
  /** Time between the two fixes; 0 where it is not known. */
  betweenMs: number;
  headingDeg: number | null;
  speedMps: number | null;
  flags: number;
}

/** Reads a tile; `null` for content of another version, which a newer server may send. */
export function readTile(bytes: ArrayBuffer): Tile | null {
  if (bytes.byteLength < STRIDE) return null;
  const head = new DataView(bytes, 0, STRIDE);
  if (head.getUint16(0, true) !== STRIDE || head.getUint16(2, true) !== VERSION) return null;
  const count = head.getUint32(4, true);
  if (bytes.byteLength < STRIDE * (count + 1)) return null;
  return {
    bytes,
    count,
    tooMany: head.getUint8(24) === 1,
    tickMs: Number(head.getBigInt64(8, true)),
    baseMs: Number(head.getBigInt64(16, true)),
    // Every machine that draws WebGL today is little endian.
    words: new Int32Array(bytes, STRIDE, count * WORDS),
  };
}

export function keyAt(tile: Tile, at: number): number {
  return tile.words[at * WORDS + 6]! >>> 0;
}

/** Time at which the last fix arrived, in ms of the server's clock. */
export function receivedAt(tile: Tile, at: number): number {
  return tile.baseMs - (tile.words[at * WORDS + 4]! >>> 0);
}

export function flagsAt(tile: Tile, at: number): number {
  return tile.words[at * WORDS + 7]! >>> 24;
}

export function vehicleAt(tile: Tile, at: number): Vehicle {
  const { words } = tile;
  const first = at * WORDS;
  const last = words[first + 7]!;
  const heading = last & 0xffff;
  const speed = (last >>> 16) & 0xff;
  return {
    key: keyAt(tile, at),
    lon: words[first]! * DEGREE,
    lat: words[first + 1]! * DEGREE,
    beforeLon: words[first + 2]! * DEGREE,
    beforeLat: words[first + 3]! * DEGREE,
    receivedMs: receivedAt(tile, at),
    betweenMs: words[first + 5]! >>> 0,
    headingDeg: heading === UNKNOWN_HEADING ? null : heading / 100,
    speedMps: speed === UNKNOWN_SPEED ? null : speed,
    flags: flagsAt(tile, at),
  };
}
