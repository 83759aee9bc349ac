/** The map of the console: every emergency singly at all zooms, the chosen one with its way, and who is near it. */
import type { Feature as AnyFeature, LineString, Point } from "geojson";
import { LngLatBounds, Map as MapLibre, NavigationControl, type ExpressionSpecification, type GeoJSONSource, type MapMouseEvent } from "maplibre-gl";
import type { Incident, Vehicle } from "../shared/api";
import { isLastKnown } from "../shared/call-place";
import { basemap, BOLD, recolour, REGULAR } from "../shared/basemap";
import { mapSettings, type MapSettings } from "../shared/map-settings";
import { readJson } from "../shared/session";
import { strings } from "../shared/strings";
import { onTheme, theme, type Theme } from "../shared/theme";
import { distance } from "../shared/units";
import { visible } from "../shared/visible";
import { readUnits } from "../shared/preferences";
import { flatten, openMap } from "../shared/open-map";
import { isWaiting } from "./arrange";
import { flightMs } from "./flight";
import { signImage, SIGN_RANK, SIGNS } from "./mapsigns";
import { signOf } from "./signs";

/** Zoom beyond which the whole picture is not enlarged: a single emergency is shown with the streets around it. */
const FIT_ZOOM_MAX = 13;
/** Room around what is shown: more at the bottom, for names and the legend. */
const PADDING = { top: 60, bottom: 96, left: 64, right: 64 };
/** The same in the strip of a phone, whose buttons lie at the top; and the least height of one with so much room. */
const STRIP_PADDING = { top: 48, bottom: 34, left: 44, right: 56 };
const STRIP_MIN = 110;
const START = { lat: 20, lon: 0, zoom: 1 };
/** An emergency that nobody sees, in a corner of the Earth: with it the graphics card's programs are made before they are needed. */
const UNSEEN: Feature = {
  type: "Feature",
  geometry: { type: "Point", coordinates: [-179.9, 85] },
  properties: { id: "", sign: "waiting", label: "0", rank: 0, chosen: true, waiting: true },
};

interface Colours {
  ink: string;
  halo: string;
  line: string;
  near: string;
}

const COLOURS: Record<Theme, Colours> = {
  light: { ink: "#1f2429", halo: "#ffffff", line: "#1d5a8a", near: "#1d5a8a" },
  dark: { ink: "#e8eaed", halo: "#14181c", line: "#8ec5f0", near: "#8ec5f0" },
};

export interface MapContext {
  open: (id: string) => void;
  /** The person has moved the map, so it is theirs from now on. */
  moved: () => void;
}

export async function openMapView(container: HTMLElement, context: MapContext): Promise<MapView> {
  const settings = await mapSettings(readJson);
  const map = await openMap(container, settings, theme(), { start: START, label: strings.console.map.canvas, isFlat: true });
  return new MapView(map, settings, context);
}

type Feature = AnyFeature<Point | LineString>;

export class MapView {
  private incidents: Incident[] = [];
  private selected: Incident | null = null;
  private responders: Vehicle[] = [];
  private isWarm = false;

  constructor(
    private readonly map: MapLibre,
    private readonly settings: MapSettings,
    private readonly context: MapContext,
  ) {
    map.addControl(new NavigationControl({ showCompass: false }), "top-right");
    this.addLayers(theme());
    map.on("idle", () => this.drawn());
    onTheme((now) => void this.turn(now));
    map.on("click", (event) => this.click(event));
    map.on("mousemove", (event) => {
      map.getCanvas().style.cursor = this.at(event).length > 0 ? "pointer" : "";
    });
    // Only movements by a person have an event of theirs behind them.
    map.on("movestart", (event) => {
      if (event.originalEvent) context.moved();
    });
  }

  show(incidents: Incident[], selected: Incident | null): void {
    this.incidents = incidents;
    this.selected = selected;
    this.draw();
  }

  showResponders(vehicles: Vehicle[]): void {
    this.responders = vehicles;
    this.draw();
  }

  /** Shows all emergencies; drills only where there is nothing else. */
  fit(): void {
    const placed = this.incidents.filter((one) => one.position && one.state !== "resolved");
    const real = placed.filter((one) => !one.test);
    this.frame((real.length > 0 ? real : placed).map((one) => [one.position?.lon ?? 0, one.position?.lat ?? 0]));
  }

  /** Shows one incident with those who are near it. */
  goTo(incident: Incident): void {
    if (!incident.position) return;
    const near = this.responders.map((one) => one.geometry.coordinates);
    this.frame([[incident.position.lon, incident.position.lat], ...near]);
  }

  goToVehicle(vehicle: Vehicle): void {
    this.map.easeTo({ center: vehicle.geometry.coordinates, zoom: Math.max(this.map.getZoom(), FIT_ZOOM_MAX) });
  }

  resize(): void {
    this.map.resize();
  }

  private frame(points: [lon: number, lat: number][]): void {
    const [first] = points;
    if (!first) return;
    const bounds = new LngLatBounds(first, first);
    for (const [lon, lat] of points) bounds.extend([nearest(lon, first[0]), lat]);
    const { clientWidth, clientHeight } = this.map.getContainer();
    const least = Math.min(clientWidth, clientHeight);
    const padding = least >= 320 ? PADDING : least >= STRIP_MIN ? STRIP_PADDING : least / 5;
    const options = { padding, maxZoom: FIT_ZOOM_MAX };
    const to = this.map.cameraForBounds(bounds, options);
    const isInView = to?.center !== undefined && this.map.getBounds().contains(to.center);
    this.map.fitBounds(bounds, { ...options, duration: flightMs(this.map.getZoom(), to?.zoom ?? Infinity, isInView) });
  }

  /** All is drawn. To make a program stops the page for up to a second, in which the first emergency would wait. */
  private drawn(): void {
    this.map.getContainer().dataset["drawn"] = String(this.incidents.length);
    if (this.isWarm) return;
    this.isWarm = true;
    this.draw();
  }

  private draw(): void {
    const placed = this.incidents.filter((one) => one.position && one.state !== "resolved");
    const chosen = this.selected;
    const extra = chosen?.position && !placed.some((one) => one.id === chosen.id) ? [chosen] : [];
    const unseen = this.isWarm ? [] : [UNSEEN];
    this.set("incidents", [...unseen, ...[...placed, ...extra].map((one) => incidentFeature(one, one.id === chosen?.id))]);
    this.set("way", chosen ? wayFeatures(chosen) : []);
    this.set("near", chosen ? nearFeatures(chosen, this.responders) : []);
  }

  private set(source: string, features: Feature[]): void {
    this.map.getSource<GeoJSONSource>(source)?.setData({ type: "FeatureCollection", features });
  }

  private at(event: MapMouseEvent): string[] {
    if (!this.map.getLayer("incident-signs")) return [];
    const found = this.map.queryRenderedFeatures(event.point, { layers: ["incident-signs"] });
    return [...new Set(found.map((feature) => String(feature.properties["id"])).filter((id) => id !== ""))];
  }

  /** Opens what was clicked; where several lie on top of each other, each click opens the next. */
  private click(event: MapMouseEvent): void {
    const ids = this.at(event);
    const now = ids.indexOf(this.selected?.id ?? "");
    const next = ids[(now + 1) % Math.max(1, ids.length)];
    if (next !== undefined) this.context.open(next);
  }

  private async turn(now: Theme): Promise<void> {
    // Also where it has taken the place of another one.
    if (this.map.getSource("earth")) {
      recolour(this.map, now);
      for (const id of ["near-lines", "near-points", "near-names", "way", "incident-signs", "chosen"]) {
        if (this.map.getLayer(id)) this.map.removeLayer(id);
      }
    } else {
      this.map.setStyle(await basemap(this.settings, now));
      await this.map.once("style.load");
      flatten(this.map);
    }
    this.addLayers(now);
  }

  private addLayers(now: Theme): void {
    const { map } = this;
    const colours = COLOURS[now];
    for (const sign of SIGNS) {
      if (map.hasImage(sign)) map.removeImage(sign);
      map.addImage(sign, signImage(sign, now), { pixelRatio: 2 });
    }
    for (const id of ["incidents", "way", "near"]) {
      if (!map.getSource(id)) map.addSource(id, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    }
    this.addWayAndNear(colours);
    this.addIncidents(colours);
    this.draw();
  }

  private addWayAndNear(colours: Colours): void {
    const { map } = this;
    map.addLayer({
      id: "near-lines", type: "line", source: "near", filter: ["==", ["geometry-type"], "LineString"],
      paint: { "line-color": colours.near, "line-width": 1.5, "line-dasharray": [2, 2], "line-opacity": 0.8 },
    });
    map.addLayer({
      id: "way", type: "line", source: "way", layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": colours.ink, "line-width": 3, "line-opacity": 0.55 },
    });
    map.addLayer({
      id: "near-points", type: "circle", source: "near", filter: ["==", ["geometry-type"], "Point"],
      paint: { "circle-radius": 6, "circle-color": colours.near, "circle-stroke-color": colours.halo, "circle-stroke-width": 2 },
    });
    map.addLayer({
      id: "near-names", type: "symbol", source: "near", filter: ["==", ["geometry-type"], "Point"],
      layout: { "text-field": ["get", "label"], "text-font": REGULAR, "text-size": 12, "text-offset": [0, 1], "text-anchor": "top" },
      paint: { "text-color": colours.ink, "text-halo-color": colours.halo, "text-halo-width": 1.6 },
    });
  }

  private addIncidents(colours: Colours): void {
    const { map } = this;
    map.addLayer({
      id: "chosen", type: "circle", source: "incidents", filter: ["==", ["get", "chosen"], true],
      paint: { "circle-radius": 22, "circle-color": colours.line, "circle-opacity": shown(0.16), "circle-stroke-color": colours.line, "circle-stroke-width": 2, "circle-stroke-opacity": shown(1) },
    });
    map.addLayer({
      id: "incident-signs", type: "symbol", source: "incidents",
      layout: {
        "icon-image": ["get", "sign"], "icon-allow-overlap": true, "icon-ignore-placement": true,
        "symbol-sort-key": ["get", "rank"], "symbol-z-order": "auto",
        "text-field": ["get", "label"], "text-font": BOLD, "text-size": 12.5, "text-offset": [0, 1.4], "text-anchor": "top", "text-optional": true,
      },
      paint: { "text-color": colours.ink, "text-halo-color": colours.halo, "text-halo-width": 1.8, "text-opacity": shown(1), "icon-opacity": shown(1) },
    });
  }
}

/** An opacity for all but the one that nobody sees. */
function shown(opacity: number): ExpressionSpecification {
  return ["case", ["==", ["get", "id"], ""], 0, opacity];
}

function incidentFeature(incident: Incident, chosen: boolean): Feature {
  const sign = signOf(incident);
  const { lon, lat } = incident.position ?? { lon: 0, lat: 0 };
  return {
    type: "Feature",
    geometry: { type: "Point", coordinates: [lon, lat] },
    properties: { id: incident.id, sign, label: labelOf(incident), rank: (chosen ? 100 : 0) + SIGN_RANK[sign], chosen, waiting: isWaiting(incident) },
  };
}

function labelOf(incident: Incident): string {
  const name = visible(incident.vehicle_id);
  return isLastKnown(incident) ? `${name}\n(${strings.console.place.lastKnownMark})` : name;
}

function wayFeatures({ recent_positions: places }: Incident): Feature[] {
  if (places.length < 2) return [];
  const first = places[0]?.lon ?? 0;
  const coordinates = places.map((one) => [nearest(one.lon, first), one.lat]);
  return [{ type: "Feature", geometry: { type: "LineString", coordinates }, properties: {} }];
}

function nearFeatures({ position }: Incident, vehicles: Vehicle[]): Feature[] {
  if (!position) return [];
  return vehicles.flatMap((vehicle): Feature[] => {
    const [lon, lat] = vehicle.geometry.coordinates;
    const there = [nearest(lon, position.lon), lat];
    const label = `${visible(vehicle.id)}\n${distance(vehicle.properties.distance_m ?? 0, readUnits())}`;
    return [
      { type: "Feature", geometry: { type: "Point", coordinates: there }, properties: { label } },
      { type: "Feature", geometry: { type: "LineString", coordinates: [[position.lon, position.lat], there] }, properties: {} },
    ];
  });
}

/** The same meridian, as close to `to` as it gets: a line across the antimeridian must not run around the Earth. */
function nearest(lon: number, to: number): number {
  return lon - 360 * Math.round((lon - to) / 360);
}
