/** Open incidents on the map: a pin each, above everything, at all zooms; real ones filled, drills hollow and named so. */
import type { GeoJSONSource, LayerSpecification, Map as MapLibre } from "maplibre-gl";
import { BOLD } from "../shared/basemap";
import { strings } from "../shared/strings";
import type { Theme } from "../shared/theme";
import { visible } from "../shared/visible";

/** Real calls lie above drills, and their names are placed first. */
export const PIN_LAYERS = ["pins-drills", "pins"];

export interface Pin {
  vehicleId: string;
  drill: boolean;
  lon: number;
  lat: number;
}

const COLOURS: Record<Theme, { call: string; drill: string; surface: string; on: string; halo: string }> = {
  light: { call: "#b3201a", drill: "#5b45a8", surface: "#ffffff", on: "#ffffff", halo: "#ffffff" },
  dark: { call: "#ff6f63", drill: "#bcaef5", surface: "#1d2228", on: "#2a0a08", halo: "#14181c" },
};

/** Size of a pin in pixels of the page; its tip is the place. */
const WIDTH = 30;
const HEIGHT = 40;
const SHARP = 3;

export class Pins {
  private shown = "";

  constructor(
    private readonly map: MapLibre,
    theme: Theme,
  ) {
    this.draw(theme);
    map.addSource("pins", { type: "geojson", data: collection([]) });
    for (const [at, layer] of PIN_LAYERS.entries()) map.addLayer(pinLayer(layer, at === 0, theme));
  }

  show(pins: Pin[]): void {
    const data = collection(pins);
    const text = JSON.stringify(data);
    if (text === this.shown) return;
    this.shown = text;
    this.map.getSource<GeoJSONSource>("pins")?.setData(data);
  }

  recolour(theme: Theme): void {
    this.draw(theme);
    for (const [at, layer] of PIN_LAYERS.entries()) {
      this.map.setPaintProperty(layer, "text-color", textColour(theme, at === 0));
      this.map.setPaintProperty(layer, "text-halo-color", COLOURS[theme].halo);
    }
  }

  private draw(theme: Theme): void {
    for (const drill of [false, true]) {
      const name = drill ? "pin-drill" : "pin-call";
      const image = pinImage(theme, drill);
      if (this.map.hasImage(name)) this.map.updateImage(name, image);
      else this.map.addImage(name, image, { pixelRatio: SHARP });
    }
  }
}

function collection(pins: Pin[]): GeoJSON.FeatureCollection {
  return {
    type: "FeatureCollection",
    features: pins.map(({ vehicleId, drill, lon, lat }) => ({
      type: "Feature",
      properties: { id: vehicleId, drill, label: visible(drill ? `${vehicleId} · ${strings.map.drillMark}` : vehicleId) },
      geometry: { type: "Point", coordinates: [lon, lat] },
    })),
  };
}

function pinLayer(id: string, drill: boolean, theme: Theme): LayerSpecification {
  return {
    id,
    type: "symbol",
    source: "pins",
    filter: ["==", ["get", "drill"], drill],
    layout: {
      "icon-image": drill ? "pin-drill" : "pin-call",
      "icon-anchor": "bottom",
      "icon-allow-overlap": true,
      "text-field": ["get", "label"],
      "text-font": BOLD,
      "text-size": 12,
      "text-anchor": "left",
      "text-offset": [1.5, -1.7],
      "text-optional": true,
      "text-max-width": 14,
    },
    paint: { "text-color": textColour(theme, drill), "text-halo-color": COLOURS[theme].halo, "text-halo-width": 1.6 },
  };
}

function textColour(theme: Theme, drill: boolean): string {
  return drill ? COLOURS[theme].drill : COLOURS[theme].call;
}

function pinImage(theme: Theme, drill: boolean): ImageData {
  const colours = COLOURS[theme];
  const canvas = new OffscreenCanvas(WIDTH * SHARP, HEIGHT * SHARP);
  const pen = canvas.getContext("2d");
  if (!pen) return new ImageData(1, 1);
  pen.scale(SHARP, SHARP);
  pen.beginPath();
  pen.moveTo(WIDTH / 2, HEIGHT - 2);
  pen.bezierCurveTo(WIDTH / 2 - 3, HEIGHT - 12, 3, HEIGHT - 16, 3, 15);
  pen.arc(WIDTH / 2, 15, 12, Math.PI, 0);
  pen.bezierCurveTo(WIDTH - 3, HEIGHT - 16, WIDTH / 2 + 3, HEIGHT - 12, WIDTH / 2, HEIGHT - 2);
  pen.closePath();
  pen.lineWidth = 4.5;
  pen.lineJoin = "round";
  pen.strokeStyle = colours.surface;
  pen.stroke();
  pen.fillStyle = drill ? colours.surface : colours.call;
  pen.fill();
  pen.lineWidth = drill ? 2.5 : 1;
  pen.strokeStyle = drill ? colours.drill : colours.call;
  pen.stroke();
  pen.fillStyle = drill ? colours.drill : colours.on;
  pen.font = `bold ${drill ? 14 : 17}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(drill ? "D" : "!", WIDTH / 2, 15.5);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}
