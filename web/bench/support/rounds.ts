/** What the page's script does with the tiles of each round, and in each frame. */
import type { Page } from "playwright-core";

/** A round: all tiles of the view, asked for once. */
export interface Round {
  vehicles: number;
  tiles: number;
  /** From the bytes of a tile in the script's hands until they are decoded and in its memory, in ms, over all tiles. */
  takeMs: number;
  /** Handing these bytes to the graphics card, in ms. */
  uploadMs: number;
}

interface Watched {
  rounds: Round[];
  frames: number[];
  take: (vehicles: number) => void;
}

interface Shown {
  watched: Watched;
  vagn: { updates: { vehicles: number }[]; map: { triggerRepaint: () => void }; drawn: () => unknown[] };
}

/** Puts the clocks into a page; call it before the page is loaded. */
export async function watch(page: Page): Promise<void> {
  await page.addInitScript(() => {
    let takenFrom = 0;
    let paths = new Set<string>();
    const begin = (path: string): void => {
      // A tile that comes again begins the next round.
      if (paths.has(path) || watched.rounds.length === 0) {
        watched.rounds.push({ vehicles: 0, tiles: 0, takeMs: 0, uploadMs: 0 });
        paths = new Set();
      }
      paths.add(path);
      takenFrom = performance.now();
    };
    const watched: Watched = {
      rounds: [],
      frames: [],
      take: (vehicles) => {
        const round = watched.rounds.at(-1);
        if (!round) return;
        round.takeMs += performance.now() - takenFrom;
        round.vehicles += vehicles;
        round.tiles += 1;
      },
    };
    Object.assign(globalThis, { watched });

    const read = Response.prototype.arrayBuffer;
    Response.prototype.arrayBuffer = async function () {
      const bytes = await read.call(this);
      if (this.url.endsWith(".bin")) begin(this.url);
      return bytes;
    };
    const upload = WebGL2RenderingContext.prototype.bufferData as (...all: unknown[]) => void;
    WebGL2RenderingContext.prototype.bufferData = function (this: WebGL2RenderingContext, ...all: unknown[]) {
      const began = performance.now();
      upload.apply(this, all);
      const round = watched.rounds.at(-1);
      // Only the layer of vehicles hands over what is drawn a few times and then replaced.
      if (round && all[2] === this.STREAM_DRAW) round.uploadMs += performance.now() - began;
    };
    const draw = globalThis.requestAnimationFrame.bind(globalThis);
    globalThis.requestAnimationFrame = (frame) =>
      draw((now) => {
        const began = performance.now();
        frame(now);
        watched.frames.push(performance.now() - began);
      });
  });
}

/** Lets the page's own account of each tile end the time of that tile. */
export async function connect(page: Page): Promise<void> {
  await page.evaluate(() => {
    const { watched, vagn } = globalThis as unknown as Shown;
    vagn.updates.push = (...updates) => {
      for (const { vehicles } of updates) watched.take(vehicles);
      return 0;
    };
  });
}

export function drawnCount(page: Page): Promise<number> {
  return page.evaluate(() => (globalThis as unknown as Shown).vagn.drawn().length);
}

/** Forgets what was noted until now. */
export async function forget(page: Page): Promise<void> {
  await page.evaluate(() => {
    const { watched } = globalThis as unknown as Shown;
    watched.rounds.length = 0;
    watched.frames.length = 0;
  });
}

export async function noted(page: Page): Promise<{ rounds: Round[]; frames: number[] }> {
  return page.evaluate(() => {
    const { rounds, frames } = (globalThis as unknown as Shown).watched;
    return { rounds, frames };
  });
}

/** Has the map drawn so many times a second until the page is closed. */
export async function drawOften(page: Page, perSecond: number): Promise<void> {
  await page.evaluate((pause) => {
    setInterval(() => (globalThis as unknown as Shown).vagn.map.triggerRepaint(), pause);
  }, 1_000 / perSecond);
}
