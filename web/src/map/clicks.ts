/** What a click on the map means: a vehicle, several on top of each other, a group, a pin, or the ground. */
import type { Map as MapLibre, MapMouseEvent } from "maplibre-gl";
import type { Place } from "../shared/bounds";
import { GROUP_LAYERS } from "./clusters";
import type { Drawn, Fleet } from "./fleet/fleet";
import type { Names } from "./fleet/names";
import { PIN_LAYERS } from "./pins";
import type { Stacked } from "./stack";

/** Pixels around a click that still count: a finger is wider than a pointer. */
const REACH_MOUSE = 12;
const REACH_FINGER = 22;

export interface ClickActions {
  vehicle(one: Stacked): void;
  stack(stack: Stacked[]): void;
  pins(ids: string[]): void;
  ground(place: Place): void;
}

export class Clicks {
  constructor(
    private readonly map: MapLibre,
    private readonly fleet: Fleet,
    private readonly names: Names,
    private readonly actions: ClickActions,
  ) {
    map.on("click", (event) => void this.click(event));
    map.on("mousemove", (event) => this.hover(event));
  }

  private async click(event: MapMouseEvent): Promise<void> {
    const reach = matchMedia("(pointer: coarse)").matches ? REACH_FINGER : REACH_MOUSE;
    const pins = this.pinsAt(event);
    if (pins.length > 0) return this.actions.pins(pins);
    const hits = this.fleet.at(event.point, reach);
    const named = await this.withIds(hits);
    if (named.length === 1) return this.actions.vehicle(named[0]!);
    if (named.length > 1) return this.actions.stack(named);
    if (hits.length === 0 && this.openGroup(event)) return;
    // Also where the ids of what was hit could not be read: the nearest vehicles are named, or the page says why not.
    this.actions.ground([event.lngLat.wrap().lng, event.lngLat.lat]);
  }

  /** Tiles of all hits are read, since a stack may lie on an edge. */
  private async withIds(hits: Drawn[]): Promise<Stacked[]> {
    const ids = new Map<number, string>();
    for (const { key, lon, lat } of hits) {
      if (ids.has(key)) continue;
      for (const one of await this.names.read(lon, lat).catch(() => [])) ids.set(one.key, one.id);
    }
    return hits.flatMap((drawn) => {
      const id = ids.get(drawn.key);
      return id === undefined ? [] : [{ id, drawn }];
    });
  }

  private pinsAt(event: MapMouseEvent): string[] {
    const found = this.map.queryRenderedFeatures(event.point, { layers: PIN_LAYERS });
    return [...new Set(found.map((one) => String(one.properties["id"])))];
  }

  private openGroup(event: MapMouseEvent): boolean {
    const group = this.map.queryRenderedFeatures(event.point, { layers: GROUP_LAYERS })[0];
    if (!group || group.geometry.type !== "Point") return false;
    const [lng = 0, lat = 0] = group.geometry.coordinates;
    this.map.easeTo({ center: [lng, lat], zoom: Math.min(this.map.getZoom() + 2.5, 12.5) });
    return true;
  }

  private hover(event: MapMouseEvent): void {
    const over = this.map.queryRenderedFeatures(event.point, { layers: [...PIN_LAYERS, ...GROUP_LAYERS] }).length > 0;
    const style = this.map.getCanvas().style;
    style.cursor = over || this.fleet.at(event.point, REACH_MOUSE).length > 0 ? "pointer" : "";
  }
}
