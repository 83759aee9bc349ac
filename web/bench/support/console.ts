/** Notices on which of its ways a call is until it is a row of the console. */
import type { Page } from "playwright-core";

/** Times of the event that tells of a call, in ms since 1970: the first two are the service's own. */
export interface Told {
  /** The alarm had arrived at the door. */
  arrived: number;
  /** The event was handed to those who follow. */
  told: number;
  /** The page had read it. */
  read: number;
}

export interface Noticed {
  /** The event of a vehicle's call. */
  events: Record<string, Told>;
  /** Time at which the row of a vehicle was in the page, in ms since 1970. */
  placed: Record<string, number>;
  /** Time at which the row of a vehicle was in a frame, in ms since 1970. */
  rows: Record<string, number>;
}

/** Puts eyes into a page; call it before the page is loaded. */
export async function notice(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const noticed: Noticed = { events: {}, placed: {}, rows: {} };
    Object.assign(globalThis, { noticed });
    const parse = JSON.parse;
    JSON.parse = (...text: Parameters<typeof parse>) => {
      const value = parse(...text) as { change?: string; time: string; incident?: { vehicle_id: string; opened_at: string } } | null;
      if (value?.change === "opened" && value.incident) {
        const { vehicle_id, opened_at } = value.incident;
        noticed.events[vehicle_id] ??= { arrived: Date.parse(opened_at), told: Date.parse(value.time), read: Date.now() };
      }
      return value;
    };
    new MutationObserver(() => {
      const fresh = [...document.querySelectorAll(".row-vehicle")].map((row) => row.textContent ?? "").filter((name) => name !== "" && !(name in noticed.placed));
      for (const name of fresh) noticed.placed[name] = Date.now();
      if (fresh.length > 0) requestAnimationFrame(() => fresh.forEach((name) => (noticed.rows[name] = Date.now())));
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
}

export function noticed(page: Page): Promise<Noticed> {
  return page.evaluate(() => (globalThis as unknown as { noticed: Noticed }).noticed);
}
