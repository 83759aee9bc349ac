/**
 * Ids of vehicles: a binary tile has only their keys; the vector tile of the same place has both.
 *
 * Reads of a vector tile (a protobuf) no more than that.
 */
import { request } from "../../shared/session";
import { nameOf, tileX, tileY, ZOOM_MAX } from "./cover";
import { fields, numbers, text } from "./protobuf";

/** Where the tile holds a vehicle. */
export interface Named {
  key: number;
  id: string;
}

/** Keys that are kept at most; beyond it the table begins anew. */
const KEPT_MAX = 10_000;

export class Names {
  private readonly keys = new Map<string, number>();

  /** Key of a vehicle that was at this place a moment ago; `null` where it has driven into another tile. */
  async keyOf(id: string, lon: number, lat: number): Promise<number | null> {
    const known = this.keys.get(id);
    if (known !== undefined) return known;
    await this.read(lon, lat);
    return this.keys.get(id) ?? null;
  }

  /** Vehicles of the tile of a place. */
  async read(lon: number, lat: number): Promise<Named[]> {
    const tile = { z: ZOOM_MAX, x: Math.floor(tileX(lon, ZOOM_MAX)), y: Math.floor(tileY(lat, ZOOM_MAX)) };
    const response = await request(`/tiles/${nameOf(tile)}.mvt`, { cache: "no-cache" });
    const named = response.status === 204 ? [] : readNames(new Uint8Array(await response.arrayBuffer()));
    if (this.keys.size > KEPT_MAX) this.keys.clear();
    for (const { id, key } of named) this.keys.set(id, key);
    return named;
  }
}

/** Reads feature id and property `id` of every feature; the format: https://github.com/mapbox/vector-tile-spec, version 2.1. */
export function readNames(bytes: Uint8Array): Named[] {
  return fields(bytes).flatMap(({ field, bytes: layer }) => (field === 3 && layer ? readLayer(layer) : []));
}

function readLayer(bytes: Uint8Array): Named[] {
  const parts = fields(bytes);
  const of = (number: number) => parts.flatMap((part) => (part.field === number && part.bytes ? [part.bytes] : []));
  const column = of(3).map(text).indexOf("id");
  const values = of(4).map((value) => fields(value).find((part) => part.field === 1)?.bytes);
  return of(2).flatMap((feature) => {
    const found = readFeature(feature, column);
    const id = found && values[found.value];
    return found && id ? [{ key: found.key, id: text(id) }] : [];
  });
}

function readFeature(bytes: Uint8Array, column: number): { key: number; value: number } | null {
  const parts = fields(bytes);
  const key = parts.find((part) => part.field === 1)?.number;
  const tags = numbers(parts.find((part) => part.field === 2)?.bytes ?? new Uint8Array());
  for (let at = 0; at + 1 < tags.length; at += 2) {
    if (tags[at] === column && key !== undefined) return { key, value: tags[at + 1]! };
  }
  return null;
}
