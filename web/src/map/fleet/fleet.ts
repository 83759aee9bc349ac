/**
 * Single vehicles on the map, from zoom 11 on: brings the feed, the memory and the layer together, and answers what is drawn where.
 */
import type { Map as MapLibre } from "maplibre-gl";
import type { ServerClock } from "../clock";
import { cover, drawList, nameOf, ZOOM_MIN, type TileId } from "./cover";
import { Feed } from "./feed";
import { VehicleLayer, type Look } from "./layer";
import { ARRIVED, Memory, type Seen } from "./memory";
import { drawnPlace, durationMs, progress } from "./motion";
import { keyAt, vehicleAt, type Tile, type Vehicle } from "./record";

/** A vehicle as it is drawn now; the place in degrees. */
export interface Drawn extends Vehicle {
  drawnLon: number;
  drawnLat: number;
  /** 0 at the fix before, 1 at the last one. */
  progress: number;
}

interface Content extends Seen {
  tile: Tile;
  baseMs: number;
}

export interface FleetOptions {
  look: Look;
  /** The page has asked all tiles of the view; `error` where that failed. */
  round(error: unknown): void;
}

/** Frames per pixel that a fast vehicle covers: enough to look smooth, and no more. */
const FRAMES_PER_PIXEL = 3;
const FAST_MPS = 30;
/** Vehicles of a tile that tell how far the drawing is behind. */
const SAMPLE = 200;

export class Fleet {
  look: Look;
  filter = 0;
  readonly memory = new Memory(Date.now());
  /** Main-thread time in ms of the latest changes of tiles, for whoever measures. */
  readonly updates: { vehicles: number; ms: number }[] = [];
  private readonly contents = new Map<string, Content>();
  private readonly held = new Set<number>();
  private readonly feed: Feed;
  private readonly layer: VehicleLayer;
  private tiles: TileId[] = [];
  /** Names of `tiles`. */
  private shown = new Set<string>();
  private frame: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly map: MapLibre,
    private readonly clock: ServerClock,
    private readonly options: FleetOptions,
  ) {
    this.look = options.look;
    this.layer = new VehicleLayer(() => this.scene());
    this.feed = new Feed({
      changed: (name, tile) => this.changed(name, tile),
      current: () => this.view(),
      dropped: (name) => this.forget(name),
      round: (error) => this.rounded(error),
    });
    map.on("move", () => this.view());
    this.view();
  }

  /** Adds the layer below the layer of that id. */
  addTo(before: string): void {
    this.map.addLayer(this.layer, before);
  }

  get single(): boolean {
    return this.map.getZoom() >= ZOOM_MIN;
  }

  /** True where a tile of the view has more vehicles than are drawn singly. */
  get crowded(): boolean {
    return this.tiles.some((id) => this.contents.get(nameOf(id))?.tile.tooMany);
  }

  /** Draws these vehicles at their last fix; those that were held before wait there until their next one. */
  hold(keys: number[]): void {
    for (const key of keys) this.stopAtLast(key);
    this.held.clear();
    for (const key of keys) this.held.add(key);
    this.map.triggerRepaint();
  }

  get selected(): number | null {
    return this.held.values().next().value ?? null;
  }

  find(key: number): Drawn | null {
    for (const content of this.visible()) {
      for (let at = 0; at < content.tile.count; at += 1) {
        if (keyAt(content.tile, at) === key) return this.drawnAt(content, at);
      }
    }
    return null;
  }

  /** Those of the given vehicles that are drawn now. */
  *findAll(keys: { has(key: number): boolean }): Generator<Drawn> {
    for (const content of this.visible()) {
      for (let at = 0; at < content.tile.count; at += 1) {
        if (keys.has(keyAt(content.tile, at))) yield this.drawnAt(content, at);
      }
    }
  }

  /** Vehicles whose last fix is in view, and the longest time in ms that the drawing of one of a sample is behind it. */
  summary(): { count: number; behindMs: number } {
    const view = viewOf(this.map);
    const [south, north] = [view.south * 1e7, view.north * 1e7];
    const [west, width] = [view.west, view.east - view.west];
    let [count, behindMs] = [0, 0];
    for (const content of this.visible()) {
      const { words, count: all } = content.tile;
      const step = Math.ceil(all / SAMPLE);
      for (let at = 0; at < all; at += 1) {
        const lat = words[at * 8 + 1]!;
        if (lat < south || lat > north || (words[at * 8]! * 1e-7 - west + 720) % 360 > width) continue;
        count += 1;
        if (at % step === 0) behindMs = Math.max(behindMs, this.behindMs(content, at));
      }
    }
    return { count, behindMs };
  }

  private behindMs(content: Content, at: number): number {
    const duration = durationMs(vehicleAt(content.tile, at));
    return duration * (1 - progress(this.clockNow() - content.baseMs - content.starts[at]!, duration));
  }

  /** All vehicles that are drawn now, by the rule that the graphics card follows. */
  *drawn(): Generator<Drawn> {
    for (const content of this.visible()) {
      for (let at = 0; at < content.tile.count; at += 1) yield this.drawnAt(content, at);
    }
  }

  /** Vehicles drawn within `reach` pixels of a point of the screen, nearest first. */
  at(point: { x: number; y: number }, reach: number): Drawn[] {
    const near = this.map.unproject([point.x, point.y]);
    const edge = this.map.unproject([point.x + reach * 1.5, point.y + reach * 1.5]);
    const [east, north] = [Math.abs(edge.lng - near.lng), Math.abs(edge.lat - near.lat)];
    const hits: { vehicle: Drawn; px: number }[] = [];
    for (const vehicle of this.drawn()) {
      const away = Math.abs(((vehicle.drawnLon - near.lng + 540) % 360) - 180);
      if (away > east || Math.abs(vehicle.drawnLat - near.lat) > north) continue;
      const lon = near.lng + (((vehicle.drawnLon - near.lng + 540) % 360) - 180);
      const spot = this.map.project([lon, vehicle.drawnLat]);
      const px = Math.hypot(spot.x - point.x, spot.y - point.y);
      if (px <= reach) hits.push({ vehicle, px });
    }
    return hits.sort((one, other) => one.px - other.px).map((hit) => hit.vehicle);
  }

  /** Asks for all tiles of the view now. */
  hurry(): void {
    this.feed.hurry();
  }

  private *visible(): Generator<Content> {
    const seen = new Set<string>();
    for (const id of this.tiles) {
      const name = nameOf(id);
      const content = this.contents.get(name);
      if (content && !seen.has(name)) yield content;
      seen.add(name);
    }
  }

  private drawnAt(content: Content, at: number): Drawn {
    const vehicle = vehicleAt(content.tile, at);
    const place = drawnPlace(vehicle, this.clockNow() - content.baseMs - content.starts[at]!);
    return { ...vehicle, drawnLon: place.lon, drawnLat: place.lat, progress: place.progress };
  }

  private clockNow(): number {
    return Date.now();
  }

  private view(): void {
    const needed = this.single ? cover(viewOf(this.map), this.map.getZoom()) : [];
    this.feed.want(needed);
    this.tiles = drawList(needed, (tile) => this.feed.kept(tile));
    this.shown = new Set(this.tiles.map(nameOf));
  }

  private changed(name: string, tile: Tile | null): void {
    const began = performance.now();
    if (!tile) this.forget(name);
    else {
      this.clock.observe(tile.tickMs);
      const baseMs = this.clockNow();
      const before = this.contents.get(name)?.numbers ?? null;
      const seen = this.memory.setOut(tile, before, baseMs, this.clock.local(tile.baseMs), this.held);
      this.contents.set(name, { ...seen, tile, baseMs });
      this.layer.put(name, tile, seen.starts, baseMs);
    }
    if (!this.shown.has(name)) this.view();
    this.updates.push({ vehicles: tile?.count ?? 0, ms: performance.now() - began });
    if (this.updates.length > 256) this.updates.shift();
  }

  private forget(name: string): void {
    this.contents.delete(name);
    this.layer.drop(name);
  }

  private rounded(error: unknown): void {
    this.options.round(error);
    this.animate();
  }

  private stopAtLast(key: number): void {
    for (const [name, content] of this.contents) {
      for (let at = 0; at < content.tile.count; at += 1) {
        if (keyAt(content.tile, at) !== key) continue;
        content.starts[at] = ARRIVED;
        this.memory.arrive(key);
        this.layer.put(name, content.tile, content.starts, content.baseMs);
      }
    }
  }

  private scene() {
    return {
      tiles: this.tiles,
      ageMs: (tile: Tile) => this.clock.server() - tile.baseMs,
      nowMs: () => this.clockNow(),
      look: this.look,
      filter: this.filter,
      selected: this.selected,
    };
  }

  /** Draws as often as the fastest vehicle moves by a part of a pixel: at zoom 11 that is a few times a second. */
  private animate(): void {
    if (this.frame !== null || !this.single || document.hidden) return;
    const metresPerPixel = (40_075_016 * Math.cos((this.map.getCenter().lat * Math.PI) / 180)) / (512 * 2 ** this.map.getZoom());
    const wanted = Math.min(60, Math.max(2, (FRAMES_PER_PIXEL * FAST_MPS) / metresPerPixel));
    const rate = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : wanted;
    this.frame = setTimeout(() => {
      this.frame = null;
      this.map.triggerRepaint();
      this.animate();
    }, 1000 / rate);
  }
}

/** Bounds of the view, not wrapped. */
export function viewOf(map: MapLibre): { west: number; south: number; east: number; north: number } {
  const bounds = map.getBounds();
  return { west: bounds.getWest(), south: bounds.getSouth(), east: bounds.getEast(), north: bounds.getNorth() };
}
