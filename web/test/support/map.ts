/** Reads what the live map draws: vehicles by the rule of the graphics card, groups, and pixels. */
import type { Page } from "playwright-core";
import { eventually } from "./wait";

/** A vehicle as it is drawn at `atMs` by the page's clock. */
export interface Drawn {
  key: number;
  /** Last fix and the one before, in degrees. */
  lon: number;
  lat: number;
  beforeLon: number;
  beforeLat: number;
  betweenMs: number;
  receivedMs: number;
  drawnLon: number;
  drawnLat: number;
  progress: number;
}

export interface Spot {
  x: number;
  y: number;
}

/** What the page puts there for those who measure; only what is used here. */
interface Shown {
  vagn: {
    map: {
      project: (place: [number, number]) => Spot;
      getContainer: () => HTMLElement;
      getCanvas: () => HTMLCanvasElement;
      getCenter: () => { lng: number; lat: number };
      getZoom: () => number;
      isMoving: () => boolean;
      jumpTo: (view: { center: [number, number]; zoom: number }) => void;
      queryRenderedFeatures: (options: { layers: string[] }) => { properties: Record<string, unknown>; geometry: { coordinates: [number, number] } }[];
      setLayoutProperty: (layer: string, name: string, value: string) => void;
      setPaintProperty: (layer: string, name: string, value: number) => void;
      getLayer: (layer: string) => { type: string };
      once: (event: string, then: () => void) => void;
      triggerRepaint: () => void;
    };
    drawn: () => Drawn[];
  };
}

/** Waits until the map is there; what is on it comes in its own time. */
export async function mapReady(page: Page): Promise<void> {
  await page.waitForFunction(() => "vagn" in globalThis);
}

export function drawn(page: Page): Promise<Drawn[]> {
  return page.evaluate(() => (globalThis as unknown as Shown).vagn.drawn());
}

/** Number of vehicles in the groups that are on the map. */
export function grouped(page: Page): Promise<number> {
  return page.evaluate(() => {
    const seen = (globalThis as unknown as Shown).vagn.map.queryRenderedFeatures({ layers: ["groups-discs"] });
    // A group at the edge of tiles, or on a second copy of the Earth, is there more than once.
    const counts = new Map(seen.map((one) => [one.geometry.coordinates.map((degrees) => degrees.toFixed(3)).join(" "), Number(one.properties["n"])]));
    return [...counts.values()].reduce((sum, n) => sum + n, 0);
  });
}

/** Ids of the pins that are on the map. */
export function pins(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const seen = (globalThis as unknown as Shown).vagn.map.queryRenderedFeatures({ layers: ["pins", "pins-drills"] });
    return [...new Set(seen.map((one) => String(one.properties["id"])))];
  });
}

/** Names of the ground that are on the map, with their places in degrees. */
export function names(page: Page): Promise<{ name: string; place: [number, number] }[]> {
  return page.evaluate(() =>
    (globalThis as unknown as Shown).vagn.map
      .queryRenderedFeatures({ layers: ["towns"] })
      .map((one) => ({ name: String(one.properties["name"]), place: one.geometry.coordinates })),
  );
}

/** Place of degrees on the screen, once the map stands still: a click on a map that still moves misses what it was meant for. */
export async function spot(page: Page, lon: number, lat: number): Promise<Spot> {
  await eventually("the map to stand still", () => page.evaluate(() => !(globalThis as unknown as Shown).vagn.map.isMoving()));
  return page.evaluate(([lon, lat]) => {
    const { map } = (globalThis as unknown as Shown).vagn;
    const { left, top } = map.getContainer().getBoundingClientRect();
    const { x, y } = map.project([lon, lat]);
    return { x: left + x, y: top + y };
  }, [lon, lat] as const);
}

export function centre(page: Page): Promise<{ lon: number; lat: number; zoom: number }> {
  return page.evaluate(() => {
    const { map } = (globalThis as unknown as Shown).vagn;
    const { lng: lon, lat } = map.getCenter();
    return { lon, lat, zoom: map.getZoom() };
  });
}

export function look(page: Page, lon: number, lat: number, zoom: number): Promise<void> {
  return page.evaluate(([lon, lat, zoom]) => (globalThis as unknown as Shown).vagn.map.jumpTo({ center: [lon, lat], zoom }), [lon, lat, zoom] as const);
}

/** Returns the pixels of the map in a square around a place, as they come from the graphics card. */
function pixels(page: Page, lon: number, lat: number, half: number): Promise<number[]> {
  return page.evaluate(
    ([lon, lat, half]) => {
      const { map } = (globalThis as unknown as Shown).vagn;
      return new Promise<number[]>((done) => {
        // A frame can be read only before the browser shows it.
        map.once("render", () => {
          const { x, y } = map.project([lon, lat]);
          const canvas = map.getCanvas();
          const scale = canvas.width / canvas.clientWidth;
          const copy = new OffscreenCanvas(half * 2, half * 2).getContext("2d");
          copy?.drawImage(canvas, (x - half) * scale, (y - half) * scale, half * 2 * scale, half * 2 * scale, 0, 0, half * 2, half * 2);
          done([...(copy?.getImageData(0, 0, half * 2, half * 2).data ?? [])]);
        });
        map.triggerRepaint();
      });
    },
    [lon, lat, half] as const,
  );
}

/** Looks at a picture until it is the same again. */
const LOOKS = 20;

/** Waits until a layer has drawn something around a place: without the layer, the picture there is another one. */
export async function isPainted(page: Page, layer: string, lon: number, lat: number, half = 20): Promise<void> {
  const there = (): Promise<number[]> => pixels(page, lon, lat, half);
  await eventually(`layer ${layer} to be seen at ${lon} ${lat}`, async () => {
    const shown = await there();
    await setVisible(page, layer, false);
    const hidden = await there();
    await setVisible(page, layer, true);
    if (isSame(shown, hidden)) return false;
    // What changes by itself, such as a tile that comes late, proves nothing: then all is looked at once more.
    for (let look = 0; look < LOOKS; look += 1) if (isSame(shown, await there())) return true;
    return false;
  });
}

/** Letters become transparent: to hide them would have them laid out anew, which takes long without a graphics card. */
function setVisible(page: Page, layer: string, visible: boolean): Promise<void> {
  return page.evaluate(
    ([layer, visible]) => {
      const { map } = (globalThis as unknown as Shown).vagn;
      if (map.getLayer(layer).type === "custom") map.setLayoutProperty(layer, "visibility", visible ? "visible" : "none");
      else for (const name of ["text-opacity", "icon-opacity"]) map.setPaintProperty(layer, name, visible ? 1 : 0);
    },
    [layer, visible] as const,
  );
}

/** Software drawing may round a colour differently. */
function isSame(one: number[], other: number[]): boolean {
  const differing = one.filter((value, at) => Math.abs(value - (other[at] ?? 0)) > 16).length;
  return one.length === other.length && differing < 20;
}
