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

/** What is here of a tile: up to date, or as it was at a time. */
export interface Kept {
  current: boolean;
  heardAt: number;
}

/**
 * Tiles to draw: those needed that are up to date, and for the others the newest of what is here: the nearest one above, those below,
 * or the tile as it was when it was last in view. So no vehicle vanishes while the view changes its zoom, none is drawn twice, and none
 * goes back to where an older tile has it.
 */
export function drawList(needed: TileId[], kept: (tile: TileId) => Kept | null): TileId[] {
  const drawn = new Map<string, TileId>();
  for (const tile of needed) {
    const own = kept(tile);
    const forms = own?.current ? [[tile]] : [above(tile, kept), below(tile, kept), own ? [tile] : []];
    // By the newest of several tiles below: the others were not in view just now.
    const heardAt = (form: TileId[]): number => Math.max(...form.map((one) => kept(one)!.heardAt));
    const [newest = []] = forms.filter((form) => form.length > 0).sort((one, other) => heardAt(other) - heardAt(one));
    for (const one of newest) drawn.set(`${one.z}/${one.x}/${one.y}`, one);
  }
  return [...drawn.values()].filter((tile) => !hasAncestor(tile, drawn));
}

function above(tile: TileId, kept: (tile: TileId) => Kept | null): TileId[] {
  let up = tile;
  while (up.z > ZOOM_MIN) {
    up = parent(up);
    if (kept(up)) return [up];
  }
  return [];
}

function below(tile: TileId, kept: (tile: TileId) => Kept | null): TileId[] {
  if (tile.z >= ZOOM_MAX) return [];
  return children(tile).flatMap((child) => (kept(child) ? [child] : below(child, kept)));
}

function hasAncestor(tile: TileId, drawn: Map<string, TileId>): boolean {
  let up = tile;
  while (up.z > ZOOM_MIN) {
    up = parent(up);
    if (drawn.has(`${up.z}/${up.x}/${up.y}`)) return true;
  }
  return false;
}
