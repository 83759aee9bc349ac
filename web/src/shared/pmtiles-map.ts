/**
 * A map from the operator's own PMTiles file: pictures as they are, vector tiles in the schema of Protomaps or of OpenMapTiles,
 * drawn in the quiet colours of the bundled map. Loaded only where such a file is set.
 */
import { addProtocol, type LayerSpecification, type StyleSpecification } from "maplibre-gl";
import { PMTiles, Protocol, TileType } from "pmtiles";
import { BOLD, palettes, REGULAR, type Palette } from "./basemap";
import type { Theme } from "./theme";

export async function pmtilesStyle(path: string, theme: Theme): Promise<StyleSpecification> {
  const url = new URL(path, location.href).href;
  const file = new PMTiles(url);
  const protocol = new Protocol();
  protocol.add(file);
  addProtocol("pmtiles", protocol.tile);
  const header = await file.getHeader();
  const vector = header.tileType === TileType.Mvt;
  return {
    version: 8,
    sources: { base: { type: vector ? "vector" : "raster", url: `pmtiles://${url}` } },
    layers: vector ? vectorLayers(palettes[theme]) : [{ id: "base", type: "raster", source: "base" }],
  };
}

/** Layers of both schemas: a layer that the file does not have draws nothing. */
function vectorLayers(colours: Palette): LayerSpecification[] {
  const area = (name: string, colour: string): LayerSpecification => ({
    id: `area-${name}`,
    type: "fill",
    source: "base",
    "source-layer": name,
    paint: { "fill-color": colour },
    filter: ["match", ["geometry-type"], ["Polygon", "MultiPolygon"], true, false],
  });
  const line = (name: string, colour: string, width: number): LayerSpecification => ({
    id: `line-${name}`,
    type: "line",
    source: "base",
    "source-layer": name,
    paint: {
      "line-color": colour,
      "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 6, width / 3, 12, width, 18, width * 12],
    },
  });
  const openMapTiles = ["landcover", "park"].map((name) => area(name, colours.green));
  return [
    { id: "ground", type: "background", paint: { "background-color": colours.land } },
    area("earth", colours.land),
    ...openMapTiles,
    area("landuse", colours.green),
    area("water", colours.water),
    line("roads", colours.road, 1.2),
    line("transportation", colours.road, 1.2),
    line("boundaries", colours.border, 1),
    line("boundary", colours.border, 1),
    names("places", colours),
    names("place", colours),
  ];
}

function names(layer: string, colours: Palette): LayerSpecification {
  return {
    id: `names-${layer}`,
    type: "symbol",
    source: "base",
    "source-layer": layer,
    layout: {
      "text-field": ["coalesce", ["get", "name:en"], ["get", "name"]],
      "text-font": ["match", ["coalesce", ["get", "kind"], ["get", "class"]], "country", ["literal", BOLD], ["literal", REGULAR]],
      "text-size": 12,
      "text-padding": 6,
    },
    paint: { "text-color": colours.name, "text-halo-color": colours.halo, "text-halo-width": 1.2 },
  };
}
