/** What the page draws for the person: the ring and the trail of the selected vehicle, and lines to the nearest ones. */
import type { GeoJSONSource, LayerSpecification, Map as MapLibre } from "maplibre-gl";
import { BOLD } from "../shared/basemap";
import type { Theme } from "../shared/theme";
import type { Place } from "../shared/bounds";

export interface Near {
  from: Place;
  to: { place: Place; label: string }[];
}

const COLOURS: Record<Theme, { accent: string; halo: string; text: string }> = {
  light: { accent: "#0e7490", halo: "#ffffff", text: "#0b4a5c" },
  dark: { accent: "#67d6ee", halo: "#14181c", text: "#a5e7f5" },
};

export class Marks {
  constructor(
    private readonly map: MapLibre,
    theme: Theme,
    before: string,
  ) {
    for (const source of ["trail", "ring", "near"])
      map.addSource(source, { type: "geojson", data: collection([]), lineMetrics: source === "trail" });
    for (const layer of layers(theme)) map.addLayer(layer, before);
  }

  trail(places: Place[]): void {
    const cut = unwrapped(places);
    this.set(
      "trail",
      cut.length < 2 ? [] : [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: cut } }],
    );
  }

  ring(place: Place | null): void {
    this.set("ring", place ? [point(place, {})] : []);
  }

  near(near: Near | null): void {
    if (!near) return this.set("near", []);
    const features = near.to.flatMap(({ place, label }): GeoJSON.Feature[] => {
      const coordinates = unwrapped([near.from, place]);
      return [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates } }, point(place, { label })];
    });
    this.set("near", [...features, point(near.from, { from: true })]);
  }

  recolour(theme: Theme): void {
    for (const layer of layers(theme)) {
      for (const [name, value] of Object.entries(layer.paint ?? {})) {
        if (/color|gradient/.test(name)) this.map.setPaintProperty(layer.id, name as never, value as never);
      }
    }
  }

  private set(source: string, features: GeoJSON.Feature[]): void {
    this.map.getSource<GeoJSONSource>(source)?.setData(collection(features));
  }
}

function collection(features: GeoJSON.Feature[]): GeoJSON.FeatureCollection {
  return { type: "FeatureCollection", features };
}

function point(place: Place, properties: Record<string, unknown>): GeoJSON.Feature {
  return { type: "Feature", properties, geometry: { type: "Point", coordinates: [...place] } };
}

/** Longitudes that go on beyond ±180, so that a line over the antimeridian is short. */
export function unwrapped(places: readonly Place[]): [number, number][] {
  const found: [number, number][] = [];
  for (const [lon, lat] of places) {
    const before = found.at(-1)?.[0] ?? lon;
    found.push([lon + 360 * Math.round((before - lon) / 360), lat]);
  }
  return found;
}

function layers(theme: Theme): LayerSpecification[] {
  const { accent, halo, text } = COLOURS[theme];
  return [
    {
      id: "trail",
      type: "line",
      source: "trail",
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-width": 4, "line-gradient": ["interpolate", ["linear"], ["line-progress"], 0, `${accent}22`, 1, accent] },
    },
    {
      id: "near-lines",
      type: "line",
      source: "near",
      paint: { "line-color": accent, "line-width": 1.8, "line-dasharray": [2, 1.5] },
    },
    {
      id: "near-from",
      type: "circle",
      source: "near",
      filter: ["has", "from"],
      paint: { "circle-radius": 5, "circle-color": accent, "circle-stroke-color": halo, "circle-stroke-width": 2 },
    },
    {
      id: "near-labels",
      type: "symbol",
      source: "near",
      filter: ["has", "label"],
      layout: {
        "text-field": ["get", "label"],
        "text-font": BOLD,
        "text-size": 12,
        "text-radial-offset": 1.1,
        "text-justify": "auto",
        "text-variable-anchor": ["left", "right", "top", "bottom", "top-left", "bottom-right"],
      },
      paint: { "text-color": text, "text-halo-color": halo, "text-halo-width": 2 },
    },
    {
      id: "ring",
      type: "circle",
      source: "ring",
      paint: {
        "circle-radius": ["interpolate", ["linear"], ["zoom"], 10, 13, 17, 26],
        "circle-color": accent,
        "circle-opacity": 0.16,
        "circle-stroke-color": accent,
        "circle-stroke-width": 2,
      },
    },
  ];
}
