/** Time from the service's word `ready` until its stored fleet is on the screen. */
import type { Page } from "playwright-core";
import { mapReady } from "../test/support/map";
import { scenario } from "../test/support/scenario";
import { eventually, sleep } from "../test/support/wait";
import { APART, everywhere, keep, pick } from "./support/figures";
import { door, place } from "./support/places";

const VEHICLES = 1_000_000;
/** Reports per second before and after the restart. */
const PER_S = 20_000;
const RUNS = pick(3, 1);
const SCREEN = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 0.25 };
/** What a page says while there is no service. */
const AWAY = /ERR_CONNECTION|ERR_EMPTY|ERR_HTTP2|ERR_NETWORK|status of 503|ERR_INCOMPLETE/;

interface Shown {
  shownAt: number;
  vagn?: { updates: { push: (...all: unknown[]) => number }; map: { once: (event: string, then: () => void) => void } };
}

scenario("the fleet after ready", APART, async ({ vagn, open, test }) => {
  everywhere();
  const flags = ["--target", door(vagn), "--vehicles", `${VEHICLES}`];
  await vagn.command(["simulate", ...flags, "--count", `${VEHICLES}`, "--rate", "250000"]).ended;
  const traffic = vagn.command(["simulate", ...flags, "--rate", `${PER_S}`]);
  test.after(traffic.stop);
  const link = `/#map=14/${await place(vagn)}`;

  for (let run = 0; run < RUNS; run += 1) {
    const window = await open(link, { ...SCREEN, allow: [AWAY] });
    await mapReady(window.page);
    await vagn.kill();
    await sleep(2_000);
    await noticeVehicles(window.page);
    await vagn.restart();
    keep("ready", { what: "open", ms: (await shownAt(window.page)) - vagn.readyMs });
    await window.close();

    await vagn.kill();
    await vagn.restart();
    const fresh = await open("about:blank", SCREEN);
    await fresh.page.addInitScript(`(${noticeInPage.toString()})()`);
    await fresh.page.goto(vagn.url(link), { waitUntil: "commit" });
    keep("ready", { what: "opened", ms: (await shownAt(fresh.page)) - vagn.readyMs });
    await fresh.close();
  }
});

/** Notes the end of the first frame after the first tile with vehicles has come. */
function noticeInPage(): void {
  const shown = globalThis as unknown as Shown;
  shown.shownAt = 0;
  const waiting = setInterval(() => {
    if (!shown.vagn) return;
    clearInterval(waiting);
    const { map, updates } = shown.vagn;
    const notice = (): void => map.once("render", () => (shown.shownAt ||= Date.now()));
    if ((updates as unknown as unknown[]).length > 0 && !("noted" in shown)) notice();
    const push = updates.push.bind(updates);
    updates.push = (...all) => {
      if (shown.shownAt === 0) notice();
      return push(...all);
    };
  }, 5);
}

async function noticeVehicles(page: Page): Promise<void> {
  // What is there already counts for nothing.
  await page.evaluate(`globalThis.noted = true; (${noticeInPage.toString()})()`);
  await sleep(100);
}

async function shownAt(page: Page): Promise<number> {
  const read = (): Promise<number> => page.evaluate(() => (globalThis as unknown as Shown).shownAt);
  await eventually("the fleet", async () => (await read()) > 0);
  return read();
}
