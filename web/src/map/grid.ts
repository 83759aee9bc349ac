/**
 * Lines of longitude and latitude where the bundled map has no more detail: they tell scale and movement on empty ground.
 */
import type { GeoJSONSource, Map as MapLibre } from "maplibre-gl";
import { palettes, REGULAR } from "../shared/basemap";
import type { Theme } from "../shared/theme";
import { viewOf } from "./fleet/fleet";

const FROM_ZOOM = 8;
/** Degrees between lines; about four lines across a screen at each zoom. */
const STEPS = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

export class Grid {
  constructor(
    private readonly map: MapLibre,
    theme: Theme,
    before: string,
  ) {
    map.addSource("grid", { type: "geojson", data: empty(), tolerance: 0 });
    map.addLayer({ id: "grid-lines", type: "line", source: "grid", minzoom: FROM_ZOOM, paint: linePaint(theme) }, before);
    map.addLayer(
      {
        id: "grid-names",
        type: "symbol",
        source: "grid",
        minzoom: FROM_ZOOM,
        layout: {
          "text-field": ["get", "name"],
          "text-font": REGULAR,
          "text-size": 10,
          "symbol-placement": "line",
          "symbol-spacing": 420,
          "text-keep-upright": true,
        },
        paint: namePaint(theme),
      },
      before,
    );
    map.on("moveend", () => this.draw());
    this.draw();
  }

  recolour(theme: Theme): void {
    const paints = { "grid-lines": linePaint(theme), "grid-names": namePaint(theme) };
    for (const [layer, paint] of Object.entries(paints)) {
      for (const [name, value] of Object.entries(paint)) this.map.setPaintProperty(layer, name as never, value as never);
    }
  }

  private draw(): void {
    const source = this.map.getSource<GeoJSONSource>("grid");
    source?.setData(this.map.getZoom() < FROM_ZOOM ? empty() : lines(viewOf(this.map), this.map.getZoom()));
  }
}

function lines(view: { west: number; south: number; east: number; north: number }, zoom: number): GeoJSON.FeatureCollection {
  const step = STEPS.find((one) => one <= 360 / 2 ** zoom) ?? STEPS.at(-1)!;
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  const features: GeoJSON.Feature[] = [];
  const add = (name: string, ends: [number, number][]) =>
    features.push({ type: "Feature", properties: { name }, geometry: { type: "LineString", coordinates: ends } });
  for (let at = Math.floor(view.west / step); at * step <= view.east; at += 1) {
    add(`${(at * step).toFixed(digits)}°`, [
      [at * step, view.south - step],
      [at * step, view.north + step],
    ]);
  }
  for (let at = Math.floor(view.south / step); at * step <= view.north; at += 1) {
    add(`${(at * step).toFixed(digits)}°`, [
      [view.west - step, at * step],
      [view.east + step, at * step],
    ]);
  }
  return { type: "FeatureCollection", features };
}

function empty(): GeoJSON.FeatureCollection {
  return { type: "FeatureCollection", features: [] };
}

function linePaint(theme: Theme) {
  return { "line-color": palettes[theme].grid, "line-width": 1 };
}

function namePaint(theme: Theme) {
  return {
    "text-color": palettes[theme].nameSoft,
    "text-halo-color": palettes[theme].halo,
    "text-halo-width": 1.2,
    "text-opacity": 0.75,
  };
}
