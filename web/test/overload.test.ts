/** Calls for help reach the eyes and ears of dispatchers while far more comes in than the service can take. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { listen, loudest } from "./support/ears";
import { centre, mapReady } from "./support/map";
import { scenario } from "./support/scenario";
import type { Vagn } from "./support/vagn";
import { eventually, sleep } from "./support/wait";

const SMALL = { viewport: { width: 720, height: 400 } };
/** What the browser writes when an overloaded service refuses a question. */
const BUSY = /status of 503/;
/** An emergency plays at half of what is possible; the sound of a lost server, which may come too, at 0.4. */
const AS_LOUD_AS_AN_EMERGENCY = 0.45;

scenario("at twenty times of what the service takes, each of 100 calls for help is seen and heard", {}, async ({ vagn, open, random, test }) => {
  const desk = await open("about:blank", { ...SMALL, allow: [BUSY] });
  await listen(desk.page);
  await desk.page.goto(vagn.url("/incidents"));
  await desk.page.getByText("No emergency waits for you.").waitFor();
  await panAway(desk.page);
  // Stockholm is on the map, and the calls come from Austin.
  // The position of a vehicle that calls may be among those that the service had no time for; then the map asks for it in vain.
  const map = await open("/#map=9/59.33/18.06", { ...SMALL, allow: [BUSY, /status of 404/] });
  await mapReady(map.page);
  assert.ok((await loudest(desk.page)) < AS_LOUD_AS_AN_EMERGENCY, "it sounds although nobody has called");

  const flood = vagn.command(["simulate", "--target", `127.0.0.1:${vagn.port("udp")}`, "--vehicles", "100000", "--rate", "max"]);
  test.after(flood.stop);
  await eventually("the flood", async () => (await vagn.metric("vagn_reports_received_total")) > 10_000);
  const before = await counts(vagn);
  const release = vagn.throttle(5, 250);
  test.after(release);
  const names = Array.from({ length: 100 }, (_, at) => `bus ${at}`);
  for (const ID of names) {
    await vagn.send({ ID, Lat: 30.1 + random() / 3, Lon: -97.9 + random() / 3, Emergency: true });
    await sleep(30);
  }
  await eventually("all calls to be shown", async () => (await rows(desk.page).count()) === names.length);
  const after = await counts(vagn);
  release();
  await flood.stop();
  const times = (after.sent - before.sent) / (after.stored - before.stored);
  test.diagnostic(`${times.toFixed(1)} times of what was stored came in`);
  assert.ok(times >= 20, `only ${times.toFixed(1)} times of what was stored came in`);

  assert.deepEqual((await readable(desk.page)).sort(), names.sort());
  await eventually("a sound", async () => (await loudest(desk.page)) > AS_LOUD_AS_AN_EMERGENCY);
  await map.page.getByRole("button", { name: "100 calls for help" }).waitFor();
  const { lat } = await centre(map.page);
  assert.ok(Math.abs(lat - 59.33) < 0.01, "a call moves the map of a person who looks at something else");
});

const rows = (page: Page) => page.getByRole("region", { name: /^Not acknowledged/ }).getByRole("listitem");

async function counts(vagn: Vagn): Promise<{ stored: number; sent: number }> {
  const [received, dropped] = [await vagn.metric("vagn_reports_received_total"), await vagn.metric("vagn_udp_kernel_drops_total")];
  const shed = await vagn.metric("vagn_subscription_dropped_total");
  return { stored: received - shed, sent: received + dropped };
}

async function panAway(page: Page): Promise<void> {
  const canvas = page.locator("canvas.maplibregl-canvas");
  await canvas.waitFor();
  const box = await canvas.boundingBox();
  assert.ok(box);
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 10, box.y + box.height - 10, { steps: 5 });
  await page.mouse.up();
}

/** Names of the vehicles whose rows lie open to the eye when one scrolls to them. */
function readable(page: Page): Promise<string[]> {
  return rows(page).evaluateAll((nodes) =>
    nodes.flatMap((node) => {
      const name = node.querySelector(".row-vehicle");
      if (!name) return [];
      name.scrollIntoView({ block: "center" });
      const box = name.getBoundingClientRect();
      const seen = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      return name.contains(seen) ? [name.textContent ?? ""] : [];
    }),
  );
}
