/** Makes the map itself: style, projection and worker. */
import { AttributionControl, Map as MapLibre, prewarm, setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import { basemap, bundled, refine } from "./basemap";
import type { Bounds, View } from "./bounds";
import { isBundled, type MapSettings } from "./map-settings";
import { strings } from "./strings";
import type { Theme } from "./theme";

setWorkerUrl(workerUrl);
// Its script is read while the page asks for its settings and the browser starts the graphics.
prewarm();

/** Zoom at which a vehicle is seen on its street. */
export const STREET_ZOOM = 14;

interface MapOptions {
  start: View;
  /** What is shown in place of `start`, so many pixels from the edges. */
  bounds?: { box: Bounds; padding: number } | null;
  label?: string;
  /**
   * Flat at every zoom, not a globe where the whole Earth is in view. Globe and flat map have programs of their own on the graphics
   * card, so that a jump from the one to the other makes all of them anew, for which the page stands still.
   */
  isFlat?: boolean;
}

export async function openMap(
  container: HTMLElement,
  settings: MapSettings,
  theme: Theme,
  { start, bounds = null, label = strings.map.mapLabel, isFlat = false }: MapOptions,
): Promise<MapLibre> {
  const style = await basemap(settings, theme).catch(() => null);
  const map = new MapLibre({
    container,
    style: style ?? bundled(theme),
    center: [start.lon, start.lat],
    zoom: start.zoom,
    ...(bounds && {
      bounds: [bounds.box.west, bounds.box.south, bounds.box.east, bounds.box.north],
      fitBoundsOptions: { padding: bounds.padding, maxZoom: STREET_ZOOM },
    }),
    maxZoom: 19,
    // North is up and the ground is flat: a heading on the map is the heading on the compass.
    maxPitch: 0,
    dragRotate: false,
    pitchWithRotate: false,
    attributionControl: false,
    fadeDuration: 0,
    // Without an address for letters, all are drawn with fonts of this machine.
    localIdeographFontFamily: "sans-serif",
    locale: { "Map.Title": label },
  });
  map.on("error", ({ error }) => {
    // With a status it is an answer that did not come or was refused: the page tells of that itself, and it comes by itself again.
    if (!("status" in error)) console.error(error);
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  const isOther = (await replaced(map, settings, theme)) || style === null;
  map.addControl(new AttributionControl({ compact: false, ...(isOther && { customAttribution: strings.common.mapReplaced }) }), "bottom-right");
  if (isFlat) flatten(map);
  // Flat long before single vehicles are drawn.
  else map.setProjection({ type: ["interpolate", ["linear"], ["zoom"], 4, "vertical-perspective", 6, "mercator"] });
  void refine(map);
  return map;
}

/** Longest wait for a style of another server, in ms: vehicles and calls for help are drawn on it, and cannot wait for ever. */
const STYLE_LIMIT_MS = 5_000;

/** Waits for the style. Returns true where it did not come or cannot be drawn, and the bundled one has taken its place. */
async function replaced(map: MapLibre, settings: MapSettings, theme: Theme): Promise<boolean> {
  const loaded = map.once("style.load").then(() => true);
  if (isBundled(settings)) return !(await loaded);
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Before it is loaded only the style itself can fail.
  const failed = map.once("error").then(() => false);
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), STYLE_LIMIT_MS)));
  const came = await Promise.race([loaded, failed, late]);
  clearTimeout(timer);
  if (came) return false;
  map.setStyle(bundled(theme), { diff: false });
  await map.once("style.load");
  return true;
}

/** Flat at every zoom, also where the style says otherwise. */
export function flatten(map: MapLibre): void {
  map.setProjection({ type: "mercator" });
}
