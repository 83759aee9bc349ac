/** Notices the first picture of the map by its pixels, as the browser has drawn them. */
import type { Page } from "playwright-core";

/** Colour of land in the built-in map's light look, as in `palettes` of src/shared/basemap.ts. */
const LAND = [0xf5, 0xf2, 0xec] as const;

/** Times after the navigation began, in ms; 0 where it has not come yet. */
export interface Seen {
  /** The frame of the page: panels, search, tools. */
  page: number;
  /** The first frame in which the map drew anything, such as water. */
  map: number;
  /** The first frame with land. */
  land: number;
}

/** Share of the pixels that have to be land: a name or a pin is less. */
const SHARE = 0.02;

/** Puts the eye into a page; call it before the page is loaded. */
export async function noticeLand(page: Page): Promise<void> {
  await page.addInitScript(
    ([red, green, blue, share]) => {
      const seen = { page: 0, map: 0, land: 0 };
      Object.assign(globalThis, { seen });
      const land = (): boolean => {
        const gl = document.querySelector<HTMLCanvasElement>("canvas.maplibregl-canvas")?.getContext("webgl2");
        if (!gl) return false;
        seen.map ||= performance.now();
        // To read waits for what is drawn: the time is that of the pixels and not of the wish. Some lines are enough.
        const width = gl.drawingBufferWidth;
        const line = new Uint8Array(width * 4);
        let [found, all] = [0, 0];
        for (let y = 0; y < gl.drawingBufferHeight; y += 64) {
          gl.readPixels(0, y, width, 1, gl.RGBA, gl.UNSIGNED_BYTE, line);
          for (let at = 0; at < line.length; at += 4) {
            found += Number(Math.abs(line[at]! - red) < 4 && Math.abs(line[at + 1]! - green) < 4 && Math.abs(line[at + 2]! - blue) < 4);
            all += 1;
          }
        }
        return found > all * share;
      };
      const draw = globalThis.requestAnimationFrame.bind(globalThis);
      globalThis.requestAnimationFrame = (frame) =>
        draw((now) => {
          frame(now);
          // A frame can be read only before the browser shows it.
          if (seen.land === 0 && land()) seen.land = performance.now();
          seen.page ||= performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
        });
    },
    [...LAND, SHARE] as const,
  );
}

export function seen(page: Page): Promise<Seen> {
  return page.evaluate(() => (globalThis as unknown as { seen: Seen }).seen);
}
