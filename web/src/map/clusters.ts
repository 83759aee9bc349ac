/** Groups of vehicles with their counts, as the server makes them below zoom 11 and in tiles with very many vehicles. */
import type { LayerSpecification, Map as MapLibre } from "maplibre-gl";
import { BOLD } from "../shared/basemap";
import type { Theme } from "../shared/theme";
import { ZOOM_MAX, ZOOM_MIN } from "./fleet/cover";

const FAR = "groups";
const NEAR = "groups-near";
/** Discs and their counts: on the globe MapLibre does not find all discs that it draws, but it finds their texts. */
export const GROUP_LAYERS = [...layerIds(FAR), ...layerIds(NEAR)];

const COLOURS: Record<Theme, { disc: string; rim: string; text: string; call: string }> = {
  light: { disc: "#2f5f86", rim: "#ffffff", text: "#ffffff", call: "#b3201a" },
  dark: { disc: "#8fbfe6", rim: "#14181c", text: "#0d1a26", call: "#ff8a80" },
};

export class Clusters {
  constructor(
    private readonly map: MapLibre,
    theme: Theme,
  ) {
    const tiles = [new URL("/tiles/", location.href).href + "{z}/{x}/{y}.mvt"];
    map.addSource(FAR, { type: "vector", tiles, minzoom: 0, maxzoom: ZOOM_MIN - 1 });
    map.addSource(NEAR, { type: "vector", tiles, minzoom: ZOOM_MIN, maxzoom: ZOOM_MAX });
    for (const layer of [...layers(FAR, theme, 0, ZOOM_MIN), ...layers(NEAR, theme, ZOOM_MIN, 24)]) map.addLayer(layer);
    this.setCrowded(false);
  }

  /** Tells whether the groups in view could be read: `null`, or what went wrong. */
  onRead(read: (error: unknown) => void): void {
    // Without a listener MapLibre writes every lost tile into the browser's console.
    this.map.on("error", (event) => {
      if ("sourceId" in event && (event.sourceId === FAR || event.sourceId === NEAR)) read(event.error);
    });
    this.map.on("sourcedata", (event) => {
      if (event.sourceId === FAR && event.tile) read(null);
    });
  }

  /** Shows groups in tiles that have too many vehicles to draw them singly. */
  setCrowded(crowded: boolean): void {
    const visibility = crowded ? "visible" : "none";
    for (const layer of layerIds(NEAR)) {
      if (this.map.getLayoutProperty(layer, "visibility") !== visibility)
        this.map.setLayoutProperty(layer, "visibility", visibility);
    }
  }

  /** Asks for the tiles in view anew; those that did not change cost an answer without content. */
  refresh(crowded: boolean): void {
    if (this.map.getZoom() < ZOOM_MIN) this.map.refreshTiles(FAR);
    else if (crowded) this.map.refreshTiles(NEAR);
  }

  recolour(theme: Theme): void {
    for (const source of [FAR, NEAR]) {
      for (const layer of layers(source, theme, 0, 24)) {
        for (const [name, value] of Object.entries(layer.paint ?? {})) {
          if (name.endsWith("color")) this.map.setPaintProperty(layer.id, name as never, value as never);
        }
      }
    }
  }

  /** Vehicles in the groups that are in view. */
  count(): number {
    const seen = new Map<string, number>();
    for (const { properties, geometry } of this.map.queryRenderedFeatures({ layers: GROUP_LAYERS })) {
      if (geometry.type !== "Point") continue;
      // Copies of the world show a group more than once.
      const [lon = 0, lat = 0] = geometry.coordinates;
      seen.set(`${(((lon + 540) % 360) - 180).toFixed(4)} ${lat.toFixed(4)}`, Number(properties["n"]));
    }
    return [...seen.values()].reduce((sum, n) => sum + n, 0);
  }
}

function layerIds(source: string): string[] {
  return [`${source}-discs`, `${source}-counts`];
}

function layers(source: string, theme: Theme, minzoom: number, maxzoom: number): LayerSpecification[] {
  const colours = COLOURS[theme];
  const shared = {
    source,
    "source-layer": "vehicles",
    minzoom,
    maxzoom,
    filter: ["has", "n"],
  } satisfies Partial<LayerSpecification>;
  return [
    {
      ...shared,
      id: `${source}-discs`,
      type: "circle",
      paint: {
        "circle-color": colours.disc,
        "circle-opacity": 0.88,
        "circle-radius": ["interpolate", ["linear"], ["log10", ["get", "n"]], 0, 7, 1, 12, 2, 16, 3, 21, 5, 30],
        "circle-stroke-color": ["case", ["has", "emergency"], colours.call, colours.rim],
        "circle-stroke-width": ["case", ["has", "emergency"], 3, 1.5],
      },
    },
    {
      ...shared,
      id: `${source}-counts`,
      type: "symbol",
      filter: [">", ["get", "n"], 1],
      layout: {
        "text-field": shortCount,
        "text-font": BOLD,
        "text-size": ["case", [">", ["get", "n"], 99], 12, 11],
        "text-allow-overlap": true,
        "text-ignore-placement": true,
      },
      paint: { "text-color": colours.text },
    },
  ];
}

/** `950`, `1.2k`, `36k`, `1.4M`: what fits into the disc. */
const shortCount = [
  "case",
  ["<", ["get", "n"], 1000],
  ["to-string", ["get", "n"]],
  ["<", ["get", "n"], 9950],
  ["concat", ["number-format", ["/", ["get", "n"], 1000], { "max-fraction-digits": 1, locale: "en" }], "k"],
  ["<", ["get", "n"], 999_500],
  // MapLibre takes no digit at most for no limit.
  ["concat", ["to-string", ["round", ["/", ["get", "n"], 1000]]], "k"],
  ["concat", ["number-format", ["/", ["get", "n"], 1_000_000], { "max-fraction-digits": 1, locale: "en" }], "M"],
] as unknown as string;
