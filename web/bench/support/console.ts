/** Notices when calls become rows of the console. */
import type { Page } from "playwright-core";

export interface Noticed {
  /** Time at which the row of a vehicle was in the page, in ms since 1970. */
  placed: Record<string, number>;
  /** Time at which the row of a vehicle was in a frame, in ms since 1970. */
  rows: Record<string, number>;
}

/** Puts eyes into a page; call it before the page is loaded. */
export async function notice(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const noticed: Noticed = { placed: {}, rows: {} };
    Object.assign(globalThis, { noticed });
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
