/**
 * Ids of vehicles: a binary tile has only their keys; the vector tile of the same place has both.
 *
 * Reads of a vector tile (a protobuf) no more than that.
 */
import { request } from "../../shared/session";
import { nameOf, tileX, tileY, ZOOM_MAX } from "./cover";

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

interface Field {
  field: number;
  number?: number;
  bytes?: Uint8Array;
}

function fields(bytes: Uint8Array): Field[] {
  const found: Field[] = [];
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = number(bytes, cursor);
    const field = Math.floor(tag / 8);
    const kind = tag % 8;
    if (kind === 0) found.push({ field, number: number(bytes, cursor) });
    else if (kind === 2) {
      const length = number(bytes, cursor);
      found.push({ field, bytes: bytes.subarray(cursor.at, cursor.at + length) });
      cursor.at += length;
    } else cursor.at += kind === 1 ? 8 : 4;
  }
  return found;
}

function numbers(bytes: Uint8Array): number[] {
  const cursor = { at: 0 };
  const found: number[] = [];
  while (cursor.at < bytes.length) found.push(number(bytes, cursor));
  return found;
}

/** A number of variable length; beyond 53 bits it would not be exact, and keys have 32. */
function number(bytes: Uint8Array, cursor: { at: number }): number {
  let [value, scale] = [0, 1];
  for (;;) {
    const byte = bytes[cursor.at] ?? 0;
    cursor.at += 1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 128;
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
