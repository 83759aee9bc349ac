/** The console at work: emergencies come in, are taken on by persons, and none gets lost on the way to their eyes and ears. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { DARK, PHONE } from "./support/browser";
import { scenario } from "./support/scenario";
import type { Report, Vagn } from "./support/vagn";
import { eventually } from "./support/wait";

const MARKUP = "<img src=x onerror=alert(1)>";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** A request that is refused on purpose is an error for the browser's console too. */
const REFUSED = /status of 409/;
const OFFLINE = /ERR_|Failed to load resource/;

const call = (id: string, special: Partial<Report> = {}): Report => ({ ID: id, Lat: 30.27, Lon: -97.74, Emergency: true, ...special });
const part = (page: Page, name: string) => page.getByRole("region", { name: new RegExp(`^${name}`) });
const row = (page: Page, name: string, vehicle: string) => part(page, name).getByRole("listitem").filter({ hasText: vehicle });
const banner = (page: Page, text: string) => page.getByRole("region", { name: "State of the service" }).getByText(text);
const sounds = (page: Page) => page.evaluate(() => Number(document.documentElement.dataset["sounds"]));

/** Waits until the page has read its list, so that what comes now is news. */
async function ready(page: Page): Promise<void> {
  await page.getByText("No emergency waits for you.").waitFor();
}

/** Gives this browser a name, so that no dialog asks for it. */
async function nameIt(page: Page, name: string): Promise<void> {
  await page.evaluate((text) => localStorage.setItem("vagn.person", text), name);
}

async function idOf(vagn: Vagn, vehicle: string): Promise<string> {
  const page = await vagn.json<{ incidents: { id: string }[] }>(`/api/v1/incidents?vehicle_id=${encodeURIComponent(vehicle)}`);
  const [first] = page.incidents;
  assert.ok(first, `there is no incident of ${vehicle}`);
  return first.id;
}

function post(vagn: Vagn, id: string, what: string, body: Record<string, string>): Promise<unknown> {
  return vagn.json(`/api/v1/incidents/${id}/${what}`, { method: "POST", body });
}

scenario("the map makes no program of the graphics card when the first emergency comes, which would wait for it", {}, async ({ vagn, open }) => {
  const { page } = await open("about:blank");
  await page.addInitScript(() => {
    const link = WebGL2RenderingContext.prototype.linkProgram;
    Object.assign(globalThis, { programs: 0 });
    WebGL2RenderingContext.prototype.linkProgram = function (program) {
      (globalThis as unknown as { programs: number }).programs += 1;
      link.call(this, program);
    };
  });
  const programs = () => page.evaluate(() => (globalThis as unknown as { programs: number }).programs);
  await page.goto(vagn.url("/incidents"));
  await ready(page);
  await page.locator("#map[data-drawn='0']").waitFor();
  const before = await programs();
  assert.ok(before > 0);
  await vagn.store(call("bus 7"));
  await page.locator("#map[data-drawn='1']").waitFor();
  assert.equal(await programs(), before);
});

scenario("a hundred of a hundred emergencies become a row and a sound, wherever the map is", {}, async ({ vagn, open, random }) => {
  const { page, picture } = await open("/incidents").then((window) => ({ page: window.page, picture: (name: string) => window.picture(name) }));
  await ready(page);
  const canvas = page.locator("canvas.maplibregl-canvas");
  await canvas.waitFor();
  await canvas.hover();
  await page.mouse.down();
  await page.mouse.move(900, 700, { steps: 5 });
  await page.mouse.up();
  const names = Array.from({ length: 100 }, (_, at) => `bus ${at}`);
  await vagn.store(...names.map((name) => call(name, { Lat: 30.1 + random() / 3, Lon: -97.9 + random() / 3 })));
  const rows = part(page, "Not acknowledged").getByRole("listitem");
  await eventually("all rows", async () => (await rows.count()) === names.length);
  const shown = await page.locator(".part-waiting .row").evaluateAll((nodes) =>
    nodes.map((node) => {
      node.scrollIntoView();
      const box = node.getBoundingClientRect();
      const seen = document.elementFromPoint(box.left + 20, box.top + 10);
      return node.contains(seen) ? (node.querySelector(".row-vehicle")?.textContent ?? "") : "hidden";
    }),
  );
  assert.deepEqual(shown.toSorted(), names.toSorted());
  await eventually("a sound", async () => (await sounds(page)) > 0);
  await banner(page, "100 new emergencies within 10 minutes").waitFor();
  assert.ok((await page.locator(".part-waiting h3:visible").count()) > 1, "a crowd is grouped by area");
  // No target is set in this service.
  await banner(page, "No target is set").waitFor();
  await picture("console-crowd");
});

scenario("an emergency is acknowledged by keyboard alone, and the second dispatcher sees by whom", {}, async ({ vagn, open }) => {
  const anna = await open("/incidents");
  const bo = await open("/incidents");
  await Promise.all([ready(anna.page), ready(bo.page)]);
  await vagn.store(call("tram 4"));
  await row(anna.page, "Not acknowledged", "tram 4").waitFor();
  const { keyboard } = anna.page;
  // The first stop is a link to the list.
  await keyboard.press("Tab");
  await keyboard.press("Enter");
  await keyboard.press("a");
  await anna.page.getByRole("dialog").waitFor();
  await keyboard.type("Anna");
  await keyboard.press("Enter");
  for (const { page } of [anna, bo]) await row(page, "In hand", "tram 4").getByText("Anna has taken it on").waitFor();
  const focused = await anna.page.evaluate(() => document.activeElement?.closest(".row")?.textContent ?? "");
  assert.match(focused, /tram 4/, "the focus stays with the row that has moved");
  await bo.picture("console-second");
});

scenario("the second of two who acknowledge at once reads who was first, and with which note", {}, async ({ vagn, open }) => {
  const { page } = await open("/incidents", { allow: [REFUSED] });
  await ready(page);
  await nameIt(page, "Bo");
  await vagn.store(call("tram 4"));
  const id = await idOf(vagn, "tram 4");
  await page.route("**/acknowledge", async (route) => {
    await post(vagn, id, "acknowledge", { by: "Anna", note: "on our way" });
    await route.continue();
  });
  await row(page, "Not acknowledged", "tram 4").getByRole("button", { name: "Acknowledge the emergency" }).click();
  const answer = page.getByRole("alert").filter({ hasText: "Anna was first and has acknowledged tram 4" });
  await answer.getByText("on our way").waitFor();
});

scenario("the address of an emergency that another one took in opens that one, under its own address", {}, async ({ vagn, open }) => {
  await vagn.store(call("bus 7"));
  const id = await idOf(vagn, "bus 7");
  const { page } = await open("/incidents");
  await row(page, "Not acknowledged", "bus 7").waitFor();
  // As a node of a cluster answers. One that is over is not in the list.
  const joined = "01900000-0000-7000-8000-000000000002";
  await page.route(`**/api/v1/incidents/${joined}`, async (route) => {
    const living = await vagn.json<object>(`/api/v1/incidents/${id}`);
    await route.fulfill({ json: { ...living, joined_id: joined } });
  });
  for (const state of ["open", "resolved"]) {
    await page.evaluate((hash) => { location.hash = hash; }, `#incident=${joined}`);
    await page.getByRole("heading", { name: "Emergency of bus 7" }).waitFor();
    await eventually("its own address", () => new URL(page.url()).hash === `#incident=${id}`);
    await page.keyboard.press("Escape");
    if (state === "open") {
      await post(vagn, id, "resolve", { by: "Anna" });
      await page.reload();
      await ready(page);
    }
  }
});

scenario("markup from outside is text", {}, async ({ vagn, open }) => {
  await vagn.store(call(MARKUP));
  const id = await idOf(vagn, MARKUP);
  await post(vagn, id, "comments", { by: "<b>Bo</b>", text: MARKUP });
  // A link opens the incident.
  const { page } = await open(`/incidents#incident=${id}`);
  await page.getByRole("heading", { name: `Emergency of ${MARKUP}` }).waitFor();
  await page.getByText("<b>Bo</b> wrote:").waitFor();
  assert.equal(await page.locator(":is(.list, .detail, .banners) :is(img, b)").count(), 0);
});

scenario("a drill is marked, makes no sound of an emergency, and is not counted as one", {}, async ({ vagn, open }) => {
  const { page } = await open("/incidents");
  await ready(page);
  await vagn.store(call("van 1", { Kind: "test" }));
  await row(page, "Drills", "van 1").getByText("Drill", { exact: true }).waitFor();
  assert.equal(await part(page, "Not acknowledged").getByRole("listitem").count(), 0);
  assert.match(await page.getByRole("banner").innerText(), /0 not acknowledged/);
  assert.equal(await sounds(page), 0);
});

scenario("a call that cannot be proved waits in a list of its own, and is an emergency once a person raises it", {}, async ({ vagn, open }) => {
  const key = await vagn.keyId("tram 4");
  const window = await open("/incidents");
  const { page } = window;
  await ready(page);
  await nameIt(page, "Anna");
  // An envelope under its key that somebody else has made, with the lane of a call.
  const forged = Buffer.concat([Buffer.from([0xc1, 0x10]), key, Buffer.alloc(8, 1), Buffer.alloc(40, 7), Buffer.from([0xc3])]);
  const list = part(page, "1 call that cannot be proved");
  await eventually("the call in the list", async () => (await vagn.sendBytes(forged), await list.isVisible()));
  await list.getByText("seal is wrong").waitFor();
  assert.equal(await part(page, "Not acknowledged").getByRole("listitem").count(), 0, "it is no emergency yet");
  await window.picture("console-unproven");
  await list.getByRole("button", { name: "Raise the call of tram 4 as an emergency" }).click();
  const dialog = page.getByRole("dialog", { name: "Raise the call of tram 4 as an emergency?" });
  await dialog.getByRole("button", { name: "Raise the emergency" }).click();
  await row(page, "Not acknowledged", "tram 4").waitFor();
  await list.waitFor({ state: "hidden" });
  const found = await vagn.json<{ incidents: { vehicle_id: string }[] }>("/api/v1/incidents");
  assert.deepEqual(found.incidents.map((incident) => incident.vehicle_id), ["tram 4"]);
});

scenario("of many calls that cannot be proved the first are shown, and all on demand", {}, async ({ vagn, open }) => {
  const { page } = await open("/incidents");
  await ready(page);
  // Under keys that nobody has.
  const forged = (number: number): Buffer =>
    Buffer.concat([Buffer.from([0xc1, 0x10]), Buffer.alloc(8, number), Buffer.alloc(8, 1), Buffer.alloc(40, 7), Buffer.from([0xc3])]);
  const list = part(page, "23 calls that cannot be proved");
  await eventually("the calls in the list", async () => {
    for (let number = 1; number <= 23; number++) await vagn.sendBytes(forged(number));
    return list.isVisible();
  });
  await list.getByText("3 more are not shown.").waitFor();
  assert.equal(await list.getByRole("listitem").count(), 20);
  await list.getByRole("button", { name: "Show all 23" }).click();
  assert.equal(await list.getByRole("listitem").count(), 23);
  await list.getByRole("button", { name: "Show the first 20" }).click();
  assert.equal(await list.getByRole("listitem").count(), 20);
});

scenario("a lost connection says so, comes back, and tells what was missed", {}, async ({ vagn, open }) => {
  const window = await open("/incidents", { allow: [OFFLINE] });
  const { page } = window;
  await ready(page);
  await vagn.store(call("tram 4"), call("tram 5"));
  for (const name of ["tram 4", "tram 5"]) await row(page, "Not acknowledged", name).waitFor();
  await page.context().setOffline(true);
  await banner(page, "No contact with the server").waitFor();
  await window.picture("console-lost");
  await vagn.store(call("tram 6"));
  await post(vagn, await idOf(vagn, "tram 4"), "acknowledge", { by: "Bo" });
  await post(vagn, await idOf(vagn, "tram 5"), "resolve", { by: "Bo" });
  await page.context().setOffline(false);
  const told = banner(page, "There was no contact").filter({ hasText: "tram 6" });
  await told.waitFor();
  // On a slow machine contact may have been lost before, and more was missed.
  assert.match(await told.innerText(), /new .*tram 6\. 1 acknowledged: tram 4 by Bo\. 1 resolved: tram 5 by Bo\./);
  await banner(page, "No contact with the server").waitFor({ state: "detached" });
  await row(page, "Not acknowledged", "tram 6").waitFor();
  await row(page, "In hand", "tram 4").waitFor();
});

scenario("what was missed is told until it is dismissed, though the stream is back before the proof of contact", {}, async ({ vagn, open }) => {
  const { page } = await open("/incidents", { allow: [OFFLINE] });
  await ready(page);
  const told = banner(page, "There was no contact");
  const lost = banner(page, "No contact with the server");
  // The page asks for the targets as the proof of contact.
  const proof = "**/api/v1/targets";
  for (const tram of ["tram 6", "tram 7"]) {
    await page.context().setOffline(true);
    await lost.waitFor();
    await vagn.store(call(tram));
    await page.route(proof, (route) => route.abort());
    await page.context().setOffline(false);
    await row(page, "Not acknowledged", tram).waitFor();
    await page.unroute(proof);
    await lost.waitFor({ state: "detached" });
    await told.filter({ hasText: tram }).waitFor();
  }
  // On a slow machine contact may have been lost once more, and nothing was missed.
  assert.match(await told.innerText(), /2 new emergencies: tram 6 and tram 7\./);
  await page.getByRole("button", { name: "Dismiss" }).click();
  await told.filter({ hasText: "tram" }).waitFor({ state: "detached" });
});

/** Nothing listens there. */
const DEAD = "http://127.0.0.1:9";

scenario("on a phone banners leave room for the list and the map, and cover nothing", { args: ["--emergency-url", `${DEAD}/calls`, "--drill-url", `${DEAD}/drills`] }, async ({ vagn, open }) => {
  await vagn.store(call("tram 4"), call("van 1", { Kind: "test" }), { ID: "nowhere", Emergency: true });
  const { page, picture } = await open("/incidents", PHONE).then((window) => ({ page: window.page, picture: (name: string) => window.picture(name) }));
  const more = page.getByRole("button", { name: /more messages?$/ });
  await more.waitFor();
  await page.locator("#map[data-drawn='3']").waitFor();
  await picture("console-phone-banners");
  for (const part of [page.locator(".part-waiting .row-vehicle").first(), page.locator(".map-unplaced")]) {
    const seen = await part.evaluate((node) => {
      const { left, top, bottom } = node.getBoundingClientRect();
      return bottom <= innerHeight && node.contains(document.elementFromPoint(left + 5, top + 5));
    });
    assert.ok(seen, await part.innerText());
  }
  const [map, note] = await Promise.all([page.locator("#map").boundingBox(), page.locator(".map-unplaced").boundingBox()]);
  assert.ok(map && note && note.y >= map.y + map.height - 1, "what the map says lies below it");
  await more.click();
  await banner(page, "The target of drills").waitFor();
  await page.getByRole("button", { name: "Fewer messages" }).click();
  await banner(page, "The target of drills").waitFor({ state: "hidden" });
});

scenario("axe finds nothing serious on the console, in every form of screen", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "unit 1", Lat: 30.28, Lon: -97.74 }, call("tram 4"), call("van 1", { Kind: "test" }));
  const id = await idOf(vagn, "tram 4");
  await post(vagn, id, "acknowledge", { by: "Anna", note: "on our way" });
  for (const view of [{}, PHONE, DARK]) {
    const { page } = await open(`/incidents#incident=${id}`, view);
    await page.getByText("Anna acknowledged it.").waitFor();
    await page.evaluate(AXE);
    const found = await page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string }[] }> } };
      return (await axe.run()).violations.map(({ id, impact }) => `${impact}: ${id}`);
    });
    assert.deepEqual(found.filter((one) => /^(serious|critical)/.test(one)), []);
  }
});
