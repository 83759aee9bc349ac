/** Bytes a second that a viewer of the map costs. */
import type { Window } from "../test/support/browser";
import { mapReady } from "../test/support/map";
import { scenario } from "../test/support/scenario";
import { eventually, sleep } from "../test/support/wait";
import { APART, keep, pick } from "./support/figures";
import { door, place } from "./support/places";
import { Wire } from "./support/wire";

const VEHICLES = 100_000;
/** Each vehicle reports every two seconds. */
const PER_S = VEHICLES / 2;
const ZOOMS = [3, 9, 14];
const SCREEN = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 0.25 };
/** Time until all that is loaded once is there, and time for which bytes are counted. */
const LOAD_S = 8;
const WATCH_S = pick(20, 4);

scenario("bytes of a viewer", APART, async ({ vagn, open, test }) => {
  const traffic = vagn.command(["simulate", "--target", door(vagn), "--vehicles", `${VEHICLES}`, "--rate", `${PER_S}`, "--full"]);
  test.after(traffic.stop);
  await eventually("all vehicles", async () => (await vagn.metric("vagn_reports_received_total")) > VEHICLES * 1.1);
  const where = await place(vagn);
  const views: { zoom: number; wire: Wire; window: Window }[] = [];
  for (const zoom of ZOOMS) {
    const wire = await Wire.to(vagn);
    const window = await open(wire.url(`/#map=${zoom}/${where}`), SCREEN);
    await mapReady(window.page);
    views.push({ zoom, wire, window });
  }
  await sleep(LOAD_S * 1_000);
  for (const { wire } of views) wire.down = wire.up = 0;
  await sleep(WATCH_S * 1_000);
  const counted = views.map(({ zoom, wire: { down, up }, window }) => ({ zoom, down: down / WATCH_S, up: up / WATCH_S, window }));
  for (const { window, ...bytes } of counted) keep("bytes", { ...bytes, shown: await window.page.locator(".status").textContent() });
  for (const { wire, window } of views) {
    // A wire ends when nobody is on it.
    await window.close();
    wire.close();
  }
});
