/** Tiles that a view needs, and those that are drawn while some of them are still on their way. */

export const ZOOM_MIN = 11;
export const ZOOM_MAX = 14;

/** `x` counts on beyond the antimeridian: below 0 and from 2^z on are other copies of the world. */
export interface TileId {
  z: number;
  x: number;
  y: number;
}

export interface View {
  west: number;
  south: number;
  east: number;
  north: number;
}

/** Tiles that a view needs at most: a screen of 4 k needs half as many. */
const TILES_MAX = 200;

/** Tiles of a view; `west` and `east` are not wrapped, so that `east` may be above 180. */
export function cover(view: View, zoom: number): TileId[] {
  const z = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, Math.floor(zoom)));
  const size = 2 ** z;
  const [left, right] = [Math.floor(tileX(view.west, z)), Math.floor(tileX(view.east, z))];
  const top = Math.max(0, Math.floor(tileY(view.north, z)));
  const bottom = Math.min(size - 1, Math.floor(tileY(view.south, z)));
  const tiles: TileId[] = [];
  for (let y = top; y <= bottom; y += 1) {
    for (let x = left; x <= right && tiles.length < TILES_MAX; x += 1) tiles.push({ z, x, y });
  }
  return tiles;
}

export function tileX(lon: number, z: number): number {
  return (lon / 360 + 0.5) * 2 ** z;
}

export function tileY(lat: number, z: number): number {
  const sin = Math.sin((lat * Math.PI) / 180);
  return (0.5 - Math.atanh(sin) / (2 * Math.PI)) * 2 ** z;
}

/** Name of a tile's content: the same for all copies of the world. */
export function nameOf(tile: TileId): string {
  const size = 2 ** tile.z;
  return `${tile.z}/${((tile.x % size) + size) % size}/${tile.y}`;
}

function parent({ z, x, y }: TileId): TileId {
  return { z: z - 1, x: Math.floor(x / 2), y: Math.floor(y / 2) };
}

function children({ z, x, y }: TileId): TileId[] {
  return [0, 1, 2, 3].map((part) => ({ z: z + 1, x: 2 * x + (part & 1), y: 2 * y + (part >> 1) }));
}

/**
 * Tiles to draw: those needed that are loaded, and for the others the nearest one above or below that is, so that no vehicle
 * vanishes while the view changes its zoom, and none is drawn twice.
 */
export function drawList(needed: TileId[], loaded: (tile: TileId) => boolean): TileId[] {
  const drawn = new Map<string, TileId>();
  const put = (tile: TileId) => drawn.set(`${tile.z}/${tile.x}/${tile.y}`, tile);
  for (const tile of needed) {
    if (loaded(tile)) put(tile);
    else (above(tile, loaded) ?? below(tile, loaded)).forEach(put);
  }
  return [...drawn.values()].filter((tile) => !hasAncestor(tile, drawn));
}

function above(tile: TileId, loaded: (tile: TileId) => boolean): TileId[] | null {
  let up = tile;
  while (up.z > ZOOM_MIN) {
    up = parent(up);
    if (loaded(up)) return [up];
  }
  return null;
}

function below(tile: TileId, loaded: (tile: TileId) => boolean): TileId[] {
  if (tile.z >= ZOOM_MAX) return [];
  return children(tile).flatMap((child) => (loaded(child) ? [child] : below(child, loaded)));
}

function hasAncestor(tile: TileId, drawn: Map<string, TileId>): boolean {
  let up = tile;
  while (up.z > ZOOM_MIN) {
    up = parent(up);
    if (drawn.has(`${up.z}/${up.x}/${up.y}`)) return true;
  }
  return false;
}
