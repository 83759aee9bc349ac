/**
 * Where the fleet is, by the groups that the server counts: a sample of vehicles would tell of one city where there are twenty.
 *
 * A cell that is counted in a tile is itself the tile three zooms below, so the search goes down only where vehicles are, and ends
 * when the cells are small beside the fleet.
 */
import { request } from "../shared/session";
import { boundsOf, type Place } from "../shared/bounds";
import { nameOf, type TileId } from "./fleet/cover";
import { fields, numbers } from "./fleet/protobuf";

/** Zooms from a tile to its cells, of which eight lie along an edge. */
const DOWN = 3;
/** Zoom of the last tiles that are asked for; their cells are some kilometres wide. */
const ZOOM_LAST = 9;
/** Tiles asked for at a time; a fleet in more cells than that is spread so far that their middles will do. */
const TILES_MAX = 16;
/** Cells along the longer edge of the fleet that tell its place well enough. */
const CELLS = 16;
const EXTENT = 4096;
/** Field numbers: https://github.com/mapbox/vector-tile-spec, version 2.1. */
const [LAYER, FEATURE, GEOMETRY] = [3, 2, 4];

/** A group of vehicles: its middle in degrees, and its cell. */
interface Group {
  place: Place;
  cell: TileId;
}

/** Places between which the whole fleet lies; `read` gives the bytes of a vector tile. */
export async function whereabouts(read: (tile: TileId) => Promise<Uint8Array> = ask): Promise<Place[]> {
  const whole = { z: 0, x: 0, y: 0 };
  const known: Place[] = [];
  let groups = readGroups(whole, await read(whole));
  for (let zoom = DOWN; zoom <= ZOOM_LAST && isVague(groups, zoom); zoom += DOWN) {
    const below = await Promise.all(groups.map(async ({ cell }) => readGroups(cell, await read(cell))));
    // A vehicle that drove away meanwhile, or stands on the edge of its cell, is where it was counted.
    known.push(...placesOf(groups.filter((_, at) => below[at]?.length === 0)));
    groups = below.flat();
  }
  return [...known, ...placesOf(groups)];
}

function placesOf(groups: Group[]): Place[] {
  return groups.map((group) => group.place);
}

/** True where cells of this zoom are wide beside the fleet, and few enough to look into each. */
function isVague(groups: Group[], zoom: number): boolean {
  const bounds = boundsOf(placesOf(groups));
  if (!bounds || groups.length > TILES_MAX) return false;
  return Math.max(bounds.east - bounds.west, bounds.north - bounds.south) < (CELLS * 360) / 2 ** zoom;
}

async function ask(tile: TileId): Promise<Uint8Array> {
  const response = await request(`/tiles/${nameOf(tile)}.mvt`, { cache: "no-cache" });
  return new Uint8Array(await response.arrayBuffer());
}

function readGroups(tile: TileId, bytes: Uint8Array): Group[] {
  const layers = fields(bytes).filter((part) => part.field === LAYER);
  const features = layers.flatMap((layer) => fields(layer.bytes!).filter((part) => part.field === FEATURE));
  return features.map((feature) => {
    const geometry = fields(feature.bytes!).find((part) => part.field === GEOMETRY);
    // A command to go to the only point, then the point.
    const [, x = 0, y = 0] = numbers(geometry?.bytes ?? new Uint8Array());
    // Numbers of either sign are written doubled; in a tile none is below 0.
    return group(tile, x / 2 / EXTENT, y / 2 / EXTENT);
  });
}

/** Group at parts of the edges of a tile. */
function group(tile: TileId, right: number, down: number): Group {
  const size = 2 ** tile.z;
  const cellOf = (part: number) => Math.min(2 ** DOWN - 1, Math.floor(part * 2 ** DOWN));
  const cell = { z: tile.z + DOWN, x: tile.x * 2 ** DOWN + cellOf(right), y: tile.y * 2 ** DOWN + cellOf(down) };
  const lon = ((tile.x + right) / size - 0.5) * 360;
  const lat = (Math.atan(Math.sinh((0.5 - (tile.y + down) / size) * 2 * Math.PI)) * 180) / Math.PI;
  return { place: [lon, lat], cell };
}
