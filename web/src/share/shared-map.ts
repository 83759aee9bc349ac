/** What the map of the shared place draws: the trail, and the vehicle with its heading. It follows until the person moves it. */
import type { GeoJSONSource, Map as MapLibre } from "maplibre-gl";
import { recolour as recolourEarth } from "../shared/basemap";
import type { Theme } from "../shared/theme";
import { STREET_ZOOM } from "../shared/open-map";
import type { Track } from "./track";

const SOURCE = "shared";
const COLOURS: Record<Theme, { mark: string; rim: string }> = {
  light: { mark: "#1d5a8a", rim: "#ffffff" },
  dark: { mark: "#8ec5f0", rim: "#14181c" },
};
/** Pixels of the arrow's picture, at twice its size. */
const ARROW_PX = 56;

export class SharedMap {
  follows = true;
  private shown = false;

  constructor(
    private readonly map: MapLibre,
    look: Theme,
    private readonly changed: () => void,
  ) {
    map.addSource(SOURCE, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    map.addImage("shared-arrow", arrow(look), { pixelRatio: 2 });
    map.addLayer({ id: "shared-trail", type: "line", source: SOURCE, filter: ["==", ["geometry-type"], "LineString"], paint: { "line-width": 3, "line-opacity": 0.7 } });
    map.addLayer({ id: "shared-dot", type: "circle", source: SOURCE, filter: ["==", ["geometry-type"], "Point"], paint: { "circle-radius": 8, "circle-stroke-width": 2.5 } });
    map.addLayer({
      id: "shared-heading",
      type: "symbol",
      source: SOURCE,
      filter: ["has", "heading"],
      layout: { "icon-image": "shared-arrow", "icon-rotate": ["get", "heading"], "icon-rotation-alignment": "map", "icon-allow-overlap": true, "icon-ignore-placement": true },
    });
    map.on("dragstart", () => {
      this.follows = false;
      this.changed();
    });
    this.colour(look);
  }

  show(track: Track): void {
    const { last } = track;
    const lines = track.lines().map((coordinates) => ({ type: "Feature" as const, properties: {}, geometry: { type: "LineString" as const, coordinates } }));
    const properties = last && last.headingDeg !== null ? { heading: last.headingDeg } : {};
    const point = last && { type: "Feature" as const, properties, geometry: { type: "Point" as const, coordinates: [last.lon, last.lat] } };
    (this.map.getSource(SOURCE) as GeoJSONSource).setData({ type: "FeatureCollection", features: point ? [...lines, point] : lines });
    if (last && this.follows) this.goTo([last.lon, last.lat]);
    this.at = last && [last.lon, last.lat];
  }

  private at: [number, number] | null = null;

  /** Goes back to the vehicle, and stays with it. */
  follow(): void {
    this.follows = true;
    if (this.at) this.goTo(this.at);
    this.changed();
  }

  recolour(look: Theme): void {
    recolourEarth(this.map, look);
    this.map.updateImage("shared-arrow", arrow(look));
    this.colour(look);
  }

  private goTo(center: [number, number]): void {
    if (this.shown) this.map.easeTo({ center, duration: 700 });
    else this.map.jumpTo({ center, zoom: STREET_ZOOM });
    this.shown = true;
  }

  private colour(look: Theme): void {
    const { mark, rim } = COLOURS[look];
    this.map.setPaintProperty("shared-trail", "line-color", mark);
    this.map.setPaintProperty("shared-dot", "circle-color", mark);
    this.map.setPaintProperty("shared-dot", "circle-stroke-color", rim);
  }
}

/** An arrow head that points north, beyond the dot. */
function arrow(look: Theme): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = ARROW_PX;
  const context = canvas.getContext("2d")!;
  context.fillStyle = COLOURS[look].mark;
  context.strokeStyle = COLOURS[look].rim;
  context.lineWidth = 3;
  context.beginPath();
  context.moveTo(ARROW_PX / 2, 2);
  context.lineTo(ARROW_PX / 2 + 11, 18);
  context.lineTo(ARROW_PX / 2 - 11, 18);
  context.closePath();
  context.stroke();
  context.fill();
  return context.getImageData(0, 0, ARROW_PX, ARROW_PX);
}
