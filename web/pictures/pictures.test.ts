/** Makes the pictures of README.md and docs/ from the running system: `make pictures`. Look at each of them afterwards. */
import { once } from "node:events";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { Page } from "playwright-core";
import { DARK, PHONE } from "../test/support/browser";
import { drawn, grouped, mapReady, pins } from "../test/support/map";
import { scenario } from "../test/support/scenario";
import { recorded, replay } from "../test/support/trace";
import type { Vagn } from "../test/support/vagn";
import { eventually, sleep } from "../test/support/wait";

const FOLDER = resolve("../docs/pictures");
/** A page with pictures is read on slow lines too. */
const BYTES_MAX = 150_000;
const DESK = { viewport: { width: 1280, height: 800 }, locale: "en-IE", timezoneId: "America/Chicago" };
/** Time in which all that was asked for is drawn, and a trail has become long enough to be seen, in ms. */
const SETTLE_MS = 10_000;

mkdirSync(FOLDER, { recursive: true });

scenario("the fleet of the whole Earth", {}, async ({ vagn, open }) => {
  const traffic = vagn.command(["simulate", "--target", udp(vagn), "--vehicles", "20000", "--rate", "5000", "--full"]);
  await eventually("all vehicles", async () => (await vagn.metric("vagn_reports_received_total")) >= 25_000);
  // A picture does not show that they move, and a machine without a graphics card has enough to do.
  await traffic.stop();
  await vagn.store({ ID: "ferry 3", Lat: 59.32, Lon: 18.07, Emergency: true });
  const { page } = await open("/#map=2.1/32/-38", DESK);
  await mapReady(page);
  await eventually("the groups and the pin", async () => (await grouped(page)) > 0 && (await pins(page)).length === 1);
  await save(page, "fleet");
});

/** Somebody to call: an emergency service that takes each notice. */
const service = createServer((_, response) => response.end());
service.listen(0, "127.0.0.1");
await once(service, "listening");
service.unref();
const target = `http://127.0.0.1:${(service.address() as AddressInfo).port}/calls`;

scenario("the buses of Austin", { args: ["--demo"] }, async ({ vagn, open }) => {
  const bus = await drivingBus(vagn);
  const street = await open(`/#map=13.6/${bus.lat}/${bus.lon}&vehicle=${encodeURIComponent(bus.id)}`, DESK);
  await fleetIsThere(street.page);
  await eventually("a trail", async () => /(\d{3} m|km) since/.test(await street.page.locator(".details").innerText()));
  await save(street.page, "street");
  await street.close();

  const dark = await open("/#map=11.4/30.29/-97.74&list=1&show=moving", { ...DESK, ...DARK });
  await fleetIsThere(dark.page);
  await save(dark.page, "dark");
  await dark.close();

  const { first } = await calls(vagn);
  const phone = await open(`/#map=12.2/${first.lat}/${first.lon}`, { ...PHONE, deviceScaleFactor: 2, locale: "en-IE" });
  await fleetIsThere(phone.page);
  await eventually("the pins", async () => (await pins(phone.page)).length >= 2);
  await save(phone.page, "phone");
});

// The demo calls nobody, so these buses are sent from here.
scenario("calls for help", { args: ["--emergency-url", target] }, async ({ vagn, open }) => {
  const sending = replay(vagn, recorded(600_000, 1_400_000), { speed: 8, slow: () => false }, []);
  await eventually("buses", async () => (await near(vagn)).length >= 60);
  const { one } = await calls(vagn);
  const desk = await open(`/incidents#incident=${one}`, DESK);
  await desk.page.getByText("The driver does not answer the radio.").waitFor();
  await desk.page.locator("canvas.maplibregl-canvas").waitFor();
  await desk.page.locator(".banner[data-key=lost]").waitFor({ state: "hidden" });
  await save(desk.page, "incident");
  await sending;
});

/** Makes two buses call for help, and a third one a drill; somebody has acknowledged the second. */
async function calls(vagn: Vagn): Promise<{ first: Bus; one: string }> {
  const buses = (await near(vagn)).filter((one) => one.speed > 3);
  const [first, second, third] = buses.filter((_, at) => at % 9 === 0);
  if (!first || !second || !third) throw new Error("too few buses drive");
  for (const { id, lat, lon } of [first, second]) await vagn.store({ ID: id, Lat: lat, Lon: lon, Emergency: true, Kind: "manual" });
  await vagn.store({ ID: third.id, Lat: third.lat, Lon: third.lon, Emergency: true, Kind: "test" });
  const [one, two] = [await incidentOf(vagn, first.id), await incidentOf(vagn, second.id)];
  await act(vagn, two, "acknowledge", { by: "Anna", note: "ambulance is on its way" });
  await act(vagn, one, "comments", { by: "Bo", text: "The driver does not answer the radio." });
  return { first, one };
}

interface Bus {
  id: string;
  lat: number;
  lon: number;
  speed: number;
}

interface Answer {
  features: { id: string; geometry: { coordinates: [number, number] }; properties: { speed_mps?: number | null } }[];
}

async function near(vagn: Vagn): Promise<Bus[]> {
  const { features } = await vagn.json<Answer>("/api/v1/vehicles?bbox=-97.80,30.24,-97.70,30.32");
  return features.map(({ id, geometry, properties }) => ({ id, lon: geometry.coordinates[0], lat: geometry.coordinates[1], speed: properties.speed_mps ?? 0 }));
}

async function drivingBus(vagn: Vagn): Promise<Bus> {
  let found: Bus | undefined;
  await eventually("a bus that drives", async () => {
    found = (await near(vagn)).find((one) => one.speed > 8);
    return found !== undefined;
  });
  if (!found) throw new Error("no bus drives");
  return found;
}

async function fleetIsThere(page: Page): Promise<void> {
  await mapReady(page);
  await eventually("the buses", async () => (await drawn(page)).length > 30);
}

async function incidentOf(vagn: Vagn, vehicle: string): Promise<string> {
  const { incidents } = await vagn.json<{ incidents: { id: string; test: boolean }[] }>(`/api/v1/incidents?vehicle_id=${encodeURIComponent(vehicle)}`);
  const found = incidents.find((one) => !one.test);
  if (!found) throw new Error(`${vehicle} has not called`);
  return found.id;
}

async function act(vagn: Vagn, incident: string, what: string, body: Record<string, string>): Promise<void> {
  await vagn.json(`/api/v1/incidents/${incident}/${what}`, { method: "POST", body });
}

async function save(page: Page, name: string): Promise<void> {
  await sleep(SETTLE_MS);
  const debug = await page.context().newCDPSession(page);
  const { data } = await debug.send("Page.captureScreenshot", { format: "webp", quality: 88 });
  const path = `${FOLDER}/${name}.webp`;
  writeFileSync(path, Buffer.from(data, "base64"));
  const { size } = statSync(path);
  if (size > BYTES_MAX) throw new Error(`${path} has ${size} bytes`);
  console.log(`${path}: ${Math.ceil(size / 1_000)} kB`);
}

function udp(vagn: Vagn): string {
  return `127.0.0.1:${vagn.port("udp")}`;
}
