/**
 * The map below the vehicles: Natural Earth as it is bundled, or what the operator set.
 *
 * No glyphs are loaded: without an address for them MapLibre draws the letters with the fonts of the machine.
 */
import type { GeoJSONSource, LayerSpecification, Map as MapLibre, StyleSpecification } from "maplibre-gl";
import coarseUrl from "../../basemap/coarse.json?url";
import earthUrl from "../../basemap/earth.json?url";
import namesUrl from "../../basemap/names.json?url";
import type { MapSettings } from "./map-settings";
import type { Theme } from "./theme";

/** Fonts by MapLibre's reading: a name with the word Bold makes all of the stack bold. */
const FACES = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans"];
export const REGULAR = ["Vagn", ...FACES];
export const BOLD = ["Vagn Bold", ...FACES];

export interface Palette {
  water: string;
  land: string;
  lake: string;
  border: string;
  province: string;
  name: string;
  nameSoft: string;
  halo: string;
  road: string;
  green: string;
  grid: string;
}

export const palettes: Record<Theme, Palette> = {
  light: {
    water: "#d3dfe6",
    land: "#f5f2ec",
    lake: "#d3dfe6",
    border: "#c3baad",
    province: "#ddd5c9",
    name: "#5d5a54",
    nameSoft: "#6c6962",
    halo: "#f5f2ec",
    road: "#ffffff",
    green: "#e9ede0",
    grid: "#e6e1d8",
  },
  dark: {
    water: "#141c24",
    land: "#252c34",
    lake: "#141c24",
    border: "#4d5964",
    province: "#39424b",
    name: "#aab2ba",
    nameSoft: "#8c959e",
    halo: "#1c2228",
    road: "#2d353d",
    green: "#1f2925",
    grid: "#323a43",
  },
};

/** The style with which the map begins. */
export async function basemap(settings: MapSettings, theme: Theme): Promise<StyleSpecification | string> {
  if (settings.style_url !== null) return settings.style_url;
  if (settings.pmtiles !== null) return (await import("./pmtiles-map")).pmtilesStyle(settings.pmtiles, theme);
  return bundled(theme);
}

/**
 * Puts the names onto a bundled map, and the fine land in place of the coarse one, after that has been painted: to read them keeps
 * MapLibre's worker and its letters busy for longer than all the rest of the start.
 */
export async function refine(map: MapLibre): Promise<void> {
  if (!map.getSource("earth")) return;
  while (!map.isSourceLoaded("earth")) await map.once("sourcedata");
  await map.once("render");
  // Tiles of the coarse land stay until the fine ones are there.
  map.getSource<GeoJSONSource>("names")?.setData(namesUrl);
  map.getSource<GeoJSONSource>("earth")?.setData(earthUrl);
}

export function bundled(theme: Theme): StyleSpecification {
  return {
    version: 8,
    sources: {
      earth: { type: "geojson", data: coarseUrl, maxzoom: 8, tolerance: 0.4, attribution: "Natural Earth" },
      names: { type: "geojson", data: { type: "FeatureCollection", features: [] }, maxzoom: 8 },
    },
    layers: bundledLayers(palettes[theme]),
  };
}

function bundledLayers(colours: Palette): LayerSpecification[] {
  return [
    { id: "water", type: "background", paint: { "background-color": colours.water } },
    { id: "land", type: "fill", source: "earth", filter: ["==", ["get", "kind"], "land"], paint: { "fill-color": colours.land } },
    {
      id: "lakes",
      type: "fill",
      source: "earth",
      filter: ["all", ["==", ["get", "kind"], "lake"], ["<=", ["get", "zoom"], ["zoom"]]],
      paint: { "fill-color": colours.lake },
    },
    {
      id: "provinces",
      type: "line",
      source: "earth",
      minzoom: 3.5,
      filter: ["==", ["get", "kind"], "province"],
      paint: { "line-color": colours.province, "line-width": 1, "line-dasharray": [3, 2] },
    },
    {
      id: "borders",
      type: "line",
      source: "earth",
      filter: ["==", ["get", "kind"], "border"],
      paint: { "line-color": colours.border, "line-width": ["interpolate", ["linear"], ["zoom"], 1, 0.6, 8, 1.6] },
    },
    ...nameLayers(colours),
  ];
}

function nameLayers(colours: Palette): LayerSpecification[] {
  const halo = { "text-halo-color": colours.halo, "text-halo-width": 1.2 };
  return [
    {
      id: "towns",
      type: "symbol",
      source: "names",
      minzoom: 3.5,
      filter: ["all", ["!=", ["get", "kind"], "country"], ["<=", ["get", "zoom"], ["+", ["zoom"], 0.5]]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": REGULAR,
        "symbol-sort-key": ["get", "rank"],
        "text-padding": 6,
        "text-size": ["interpolate", ["linear"], ["zoom"], 4, 11, 10, ["case", ["<", ["get", "rank"], 4], 16, 13]],
      },
      paint: { "text-color": colours.nameSoft, ...halo },
    },
    {
      id: "countries",
      type: "symbol",
      source: "names",
      maxzoom: 7,
      filter: ["all", ["==", ["get", "kind"], "country"], ["<=", ["get", "zoom"], ["+", ["zoom"], 1.6]]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": BOLD,
        "text-letter-spacing": 0.06,
        "text-max-width": 7,
        "text-padding": 4,
        "symbol-sort-key": ["get", "zoom"],
        "text-size": ["interpolate", ["linear"], ["zoom"], 1, 11, 6, 15],
      },
      paint: { "text-color": colours.name, ...halo },
    },
  ];
}

/** Gives the bundled layers the colours of another theme; a style of the operator's own is left as it is. */
export function recolour(map: MapLibre, theme: Theme): void {
  if (!map.getSource("earth")) return;
  for (const layer of bundledLayers(palettes[theme])) {
    for (const [name, value] of Object.entries(layer.paint ?? {})) {
      if (name.endsWith("-color")) map.setPaintProperty(layer.id, name as never, value as never);
    }
  }
}
