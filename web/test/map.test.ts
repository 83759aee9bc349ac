/** The live map at work: vehicles appear, are found, and leave; it says when it has no contact. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { nothingSerious } from "./support/axe";
import { DARK, PHONE } from "./support/browser";
import { centre, drawn, grouped, isPainted, look, mapReady, names, pins, spot } from "./support/map";
import { scenario } from "./support/scenario";
import { eventually } from "./support/wait";

/** Fires if it is ever read as markup. */
const MARKUP = "<img src=x onerror=\"window.broken=1\">";
const AUSTIN = "/#map=12/30.27/-97.74";
/** Small pages are drawn faster where there is no graphics card. */
const SMALL = { viewport: { width: 720, height: 400 }, locale: "en-IE" };
/** What the browser writes about an answer that is expected. */
const UNKNOWN = /status of 404/;
const BUSY = /status of 503/;
const OFFLINE = /ERR_|Failed to (load|fetch)|NetworkError/;

const card = (page: Page, title: string | RegExp) => page.getByRole("region", { name: title }).getByRole("heading", { name: title });
const row = (page: Page, id: string) => page.getByRole("table").getByRole("row").filter({ hasText: id });

async function find(page: Page, id: string): Promise<void> {
  const search = page.getByRole("searchbox");
  await search.fill(id);
  await search.press("Enter");
}

scenario("the demo fleet appears by itself, and moves", { args: ["--demo"] }, async ({ open }) => {
  const { page } = await open("/", SMALL);
  await mapReady(page);
  // Without a view in the link the page goes to where the fleet is.
  await eventually("the fleet to be in view", async () => (await grouped(page)) + (await drawn(page)).length >= 50);
  await page.getByText(/Live · \d+ vehicles in view/).waitFor();
  await look(page, -97.74, 30.27, 12);
  await eventually("single vehicles", async () => (await drawn(page)).length >= 50);
  const first = new Map((await drawn(page)).map((one) => [one.key, one]));
  await eventually("ten of them to be drawn elsewhere", async () => {
    const moved = (await drawn(page)).filter((one) => {
      const before = first.get(one.key);
      return before && Math.hypot(one.drawnLon - before.drawnLon, one.drawnLat - before.drawnLat) > 1e-5;
    });
    return moved.length >= 10;
  });
});

scenario("a vehicle is found by its id and by a click, and a stack is a list", {}, async ({ vagn, open }) => {
  await vagn.store(
    { ID: "bus 7", Lat: 30.27, Lon: -97.74, Speed: 8.3, Heading: 90 },
    { ID: "van 1", Lat: 59.33, Lon: 18.06 },
    { ID: "van 2", Lat: 59.33, Lon: 18.06 },
  );
  const { page } = await open(AUSTIN, { ...SMALL, allow: [UNKNOWN, BUSY] });
  await mapReady(page);
  await eventually("the bus to be drawn", async () => (await drawn(page)).length === 1);
  const there = await spot(page, -97.74, 30.27);
  await page.mouse.click(there.x, there.y);
  await card(page, "bus 7").waitFor();
  await page.getByText("30 km/h").waitFor();
  await page.keyboard.press("Escape");
  await card(page, "bus 7").waitFor({ state: "detached" });

  // A click is answered although ids cannot be read.
  await page.route("**/*.mvt", (route) => route.fulfill({ status: 503 }));
  await page.mouse.click(there.x, there.y);
  await card(page, "Nearest vehicles").waitFor();
  await page.unroute("**/*.mvt");
  await page.keyboard.press("Escape");
  await card(page, "Nearest vehicles").waitFor({ state: "detached" });

  // The ground is no vehicle: a click on it asks for the nearest ones.
  await page.mouse.click(there.x + 150, there.y + 100);
  await card(page, "Nearest vehicles").waitFor();

  await find(page, "tram 99");
  await page.getByText("No vehicle has the id “tram 99”.").waitFor();
  await find(page, "van 2");
  await card(page, "van 2").waitFor();
  await eventually("the map to go there", async () => Math.abs((await centre(page)).lon - 18.06) < 0.1);
  await page.keyboard.press("Escape");
  await eventually("both to be drawn", async () => (await drawn(page)).length === 2);
  const stack = await spot(page, 18.06, 59.33);
  await page.mouse.click(stack.x, stack.y);
  await card(page, "2 vehicles at this place").waitFor();
  await page.getByRole("button", { name: /^van 1/ }).click();
  await card(page, "van 1").waitFor();
});

scenario("a deleted vehicle leaves every map", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74 }, { ID: "bus 8", Lat: 30.275, Lon: -97.745 });
  const near = await open("/#map=13/30.27/-97.74&list=1", SMALL);
  const far = await open("/#map=8/30.27/-97.74&vehicle=bus%207", { ...SMALL, allow: [UNKNOWN] });
  for (const { page } of [near, far]) await mapReady(page);
  await eventually("both to be drawn", async () => (await drawn(near.page)).length === 2 && (await grouped(far.page)) === 2);
  await row(near.page, "bus 7").waitFor();
  await card(far.page, "bus 7").waitFor();

  assert.equal((await vagn.ask("/api/v1/vehicles/bus%207", { method: "DELETE" })).status, 204);
  await eventually("one to be drawn", async () => (await drawn(near.page)).length === 1 && (await grouped(far.page)) === 1);
  await row(near.page, "bus 7").waitFor({ state: "detached" });
  assert.equal(await row(near.page, "bus 8").count(), 1);
  await far.page.getByText("This vehicle is not known any more").waitFor();
});

scenario("a server that refuses the vehicles is not taken for one that is lost, nor for one that does not know them", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74 });
  const { page } = await open(AUSTIN, { ...SMALL, allow: [BUSY] });
  await mapReady(page);
  await page.getByText(/^Live/).waitFor();
  const busy = { status: 503, contentType: "application/problem+json", body: JSON.stringify({ detail: "there is too much to do" }) };
  await page.route(/\/(tiles|api\/v1\/vehicle)\b/, (route) => route.fulfill(busy));
  await page.getByText("The server cannot show the vehicles since").waitFor();
  await page.getByText(/^Not live/).waitFor();
  assert.equal(await page.getByText("No contact with the server").count(), 0);
  await find(page, "bus 7");
  await page.getByText("there is too much to do").waitFor();
  assert.equal(await page.getByText("No vehicle has the id").count(), 0);
  await page.unroute(/\/(tiles|api\/v1\/vehicle)\b/);
  await page.getByText(/^Live/).waitFor();
  await page.getByText("30.27000, -97.74000").waitFor();
});

scenario("a vehicle that called without a place gets its pin when it tells one", {}, async ({ vagn, open }) => {
  const { page } = await open(AUSTIN, { ...SMALL, allow: [UNKNOWN] });
  await mapReady(page);
  await vagn.send({ ID: "tram 4", Emergency: true });
  await page.getByRole("button", { name: "1 call for help" }).click();
  await page.getByRole("button", { name: /^tram 4/ }).click();
  await page.getByText("it has sent no place yet, or was deleted").waitFor();
  await vagn.store({ ID: "tram 4", Lat: 30.27, Lon: -97.74 });
  await eventually("its pin", async () => (await pins(page)).join() === "tram 4");
});

scenario("calls that come at once are all read aloud, and take the focus from no row", {}, async ({ vagn, open }) => {
  const call = (ID: string) => ({ ID, Lat: 30.27, Lon: -97.74, Emergency: true });
  await vagn.store(call("tram 4"));
  const { page } = await open(AUSTIN, SMALL);
  await mapReady(page);
  await page.getByRole("button", { name: "1 call for help" }).click();
  const row = page.getByRole("button", { name: /^tram 4/ });
  await row.focus();
  await vagn.store(call("tram 5"), call("tram 6"), call("tram 7"));
  await page.getByText("Call for help: tram 5 Call for help: tram 6 Call for help: tram 7").waitFor({ state: "attached" });
  await page.getByRole("button", { name: /^tram 7/ }).waitFor();
  assert.ok(await row.evaluate((node) => node === document.activeElement));
});

scenario("an id that is markup is text everywhere on the map", {}, async ({ vagn, open }) => {
  const place = { Lat: 30.27, Lon: -97.74 };
  await vagn.store({ ID: MARKUP, ...place, Emergency: true }, { ID: "bus 7", ...place });
  const { page } = await open(`${AUSTIN}&list=1`, { ...SMALL, allow: [UNKNOWN] });
  await mapReady(page);
  await row(page, MARKUP).waitFor();
  await row(page, MARKUP).getByRole("button").click();
  await card(page, MARKUP).waitFor();
  await page.getByRole("button", { name: /1 call for help/ }).click();
  await page.getByRole("button", { name: MARKUP }).first().waitFor();
  await find(page, `${MARKUP}?`);
  await page.getByText(`No vehicle has the id “${MARKUP}?”.`).waitFor();
  await eventually("the pin", async () => (await pins(page)).includes(MARKUP));
  // News is read aloud.
  await vagn.store({ ID: `${MARKUP} 2`, ...place, Emergency: true });
  await page.getByText(`Call for help: ${MARKUP} 2`).waitFor({ state: "attached" });
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.equal(await page.evaluate(() => "broken" in globalThis), false);
});

scenario("vehicles, names and calls for help are all painted, on top of each other", {}, async ({ vagn, open }) => {
  const { page, picture } = await open("/#map=11/30.27/-97.74", SMALL).then((window) => ({ page: window.page, picture: (name: string) => window.picture(name) }));
  await mapReady(page);
  await eventually("the name of a town", async () => (await names(page)).some((one) => one.name === "Austin"));
  const town = (await names(page)).find((one) => one.name === "Austin");
  assert.ok(town);
  const [lon, lat] = town.place;
  await isPainted(page, "towns", lon, lat);
  await vagn.store({ ID: "bus 7", Lat: lat + 0.05, Lon: lon }, { ID: "bus 8", Lat: lat + 0.05, Lon: lon + 0.1, Emergency: true });
  await eventually("the vehicles", async () => (await drawn(page)).length === 2);
  await isPainted(page, "vehicles", lon, lat + 0.05);
  await isPainted(page, "pins", lon + 0.1, lat + 0.05);
  // A layer of one's own can leave the graphics card in a state in which letters are lost.
  await isPainted(page, "towns", lon, lat);
  await picture("map-painted");
});

scenario("a lost server is told, comes back, and what was missed is told", {}, async ({ vagn, open }) => {
  const { page } = await open(`${AUSTIN}&list=1`, { ...SMALL, allow: [OFFLINE] });
  const { page: desk } = await open("/incidents", { ...SMALL, allow: [OFFLINE] });
  await mapReady(page);
  await desk.getByText("No emergency waits for you.").waitFor();
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74 });
  await row(page, "bus 7").waitFor();
  await page.getByText(/^Live/).waitFor();
  await vagn.kill();
  await page.getByText("No contact with the server since").waitFor();
  await desk.getByText("New emergencies do not appear here until it is back.").first().waitFor();
  await page.getByText(/^Waiting for the server/).waitFor();

  // The pages do not see the server until all of it has happened.
  for (const one of [page, desk]) await one.context().setOffline(true);
  await vagn.restart();
  await vagn.store({ ID: "bus 8", Lat: 30.28, Lon: -97.75, Emergency: true }, { ID: "bus 7", Lat: 30.29, Lon: -97.76 });
  for (const one of [page, desk]) await one.context().setOffline(false);
  await page.getByText("Meanwhile a call for help of: bus 8.").waitFor();
  await page.getByText("No contact with the server since").waitFor({ state: "detached" });
  await row(page, "bus 8").waitFor();
  await eventually("the bus at its new place", async () => (await drawn(page)).some((one) => Math.abs(one.drawnLat - 30.29) < 1e-6));
  await eventually("its pin", async () => (await pins(page)).join() === "bus 8");
  await desk.getByText(/There was no contact.*1 new emergency: bus 8\./).first().waitFor();
  await desk.getByRole("button", { name: "Acknowledge the emergency of bus 8" }).waitFor();

  // What nobody has put away stays, and a further loss of contact adds to it.
  await page.context().setOffline(true);
  await page.getByText("No contact with the server since").waitFor();
  await vagn.store({ ID: "bus 9", Lat: 30.28, Lon: -97.75, Emergency: true });
  await page.context().setOffline(false);
  await page.getByText("Meanwhile a call for help of: bus 8, bus 9.").waitFor();
});

scenario("on a phone what tells of lost contact leaves calls and tools to be pressed", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 8", Lat: 30.27, Lon: -97.74, Emergency: true });
  const window = await open(AUSTIN, { ...PHONE, allow: [OFFLINE] });
  const { page } = window;
  await mapReady(page);
  await page.getByRole("button", { name: "1 call for help" }).waitFor();
  await page.context().setOffline(true);
  await page.getByText("No contact with the server since").waitFor();
  await window.picture("map-phone-lost");
  const covered = await page.locator(".calls, .search, .tools button").evaluateAll((nodes) =>
    nodes.filter((node) => {
      const { left, top, right, bottom } = node.getBoundingClientRect();
      return [[left + 3, top + 3], [right - 3, bottom - 3]].some(([x, y]) => !node.contains(document.elementFromPoint(x!, y!)));
    }).map((node) => node.className || node.getAttribute("aria-label")),
  );
  assert.deepEqual(covered, []);
});

scenario("an id with blanks around it is found, and one that has them too", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74 }, { ID: " tram 4 ", Lat: 30.28, Lon: -97.74 });
  const { page } = await open(AUSTIN, { ...SMALL, allow: [UNKNOWN] });
  await mapReady(page);
  await find(page, "  bus 7 ");
  await card(page, "bus 7").waitFor();
  await find(page, " tram 4 ");
  await page.getByText("30.28000, -97.74000").waitFor();
});

scenario("axe finds nothing serious on the map, whatever is open", {}, async ({ vagn, open }) => {
  await vagn.store(
    { ID: "bus 7", Lat: 30.27, Lon: -97.74, Speed: 8, Heading: 90 },
    { ID: "bus 8", Lat: 30.28, Lon: -97.75, Emergency: true },
    { ID: "bus 9", Lat: 30.28, Lon: -97.74, Emergency: true, Kind: "test" },
  );
  for (const [name, view] of [["desk", {}], ["dark", DARK], ["phone", PHONE]] as const) {
    const window = await open(`${AUSTIN}&vehicle=bus%207`, view);
    const { page } = window;
    await mapReady(page);
    await card(page, "bus 7").waitFor();
    await nothingSerious(page, `a vehicle, ${name}`);
    await page.keyboard.press("Escape");
    await page.keyboard.press("l");
    await row(page, "bus 7").waitFor();
    await nothingSerious(page, `the list, ${name}`);
    await page.keyboard.press("l");
    if (name === "desk") {
      await page.getByRole("button", { name: /call for help/ }).click();
      await card(page, "Calls for help").waitFor();
      await nothingSerious(page, `calls for help, ${name}`);
      await page.keyboard.press("Escape");
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await nothingSerious(page, `keys and settings, ${name}`);
    await window.close();
  }
});
