/** What the service does for its pages: it gives them out, and tells the browser what they may load. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Response } from "playwright-core";
import { DARK, PHONE } from "./support/browser";
import { mapReady, pins } from "./support/map";
import { mapFile } from "./support/pmtiles";
import { scenario } from "./support/scenario";
import { identity, Vagn } from "./support/vagn";
import { eventually } from "./support/wait";

/** An empty page, from which a test can watch another one load. */
const EMPTY = "about:blank";

/** The map is drawn by WebGL, with a worker beside it. */
const CANVAS = "canvas.maplibregl-canvas";

scenario("both pages come whole and break no rule of their policy, on a desk and on a phone", {}, async ({ open }) => {
  for (const [name, view] of [["desk", {}], ["phone", { ...PHONE, ...DARK }]] as const) {
    const map = await open("/", view);
    await map.page.locator(CANVAS).first().waitFor();
    const console = await open("/incidents", view);
    await console.page.getByRole("heading").first().waitFor();
    for (const [page, window] of [["map", map], ["console", console]] as const) {
      assert.match(await window.page.title(), /Vagn/);
      await window.picture(`${page}-${name}`);
      await window.close();
    }
  }
});

scenario("scripts come compressed, and are kept for good", {}, async ({ open, vagn }) => {
  const window = await open(EMPTY);
  const scripts: Response[] = [];
  window.page.on("response", (response) => {
    if (/\/assets\/.*\.js$/.test(response.url())) scripts.push(response);
  });
  await window.page.goto(vagn.url("/"));
  await window.page.locator(CANVAS).first().waitFor();
  assert.ok(scripts.length > 0);
  for (const script of scripts) {
    const { "content-encoding": encoding, "cache-control": cache } = await script.allHeaders();
    assert.equal(cache, "public, max-age=31536000, immutable", script.url());
    // A file of a few bytes does not get smaller.
    const isLarge = (await script.body()).length > 1_000;
    assert.ok(encoding === "br" || !isLarge, `${script.url()}: ${encoding}`);
  }
});

scenario("an empty map gives a line that brings the first vehicle", {}, async ({ open, vagn }) => {
  const { page } = await open(vagn.url("/"));
  const line = await page.locator(".datagram pre").innerText();
  await promisify(execFile)("sh", ["-c", line]);
  await page.getByRole("heading", { name: "No vehicles yet" }).waitFor({ state: "hidden" });
  assert.equal((await vagn.json<{ features: unknown[] }>("/api/v1/vehicles?bbox=-180,-90,180,90")).features.length, 1);
});

const folder = mkdtempSync(join(tmpdir(), "vagn-map-"));
const pmtiles = join(folder, "base.pmtiles");
writeFileSync(pmtiles, mapFile());
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

scenario("the map is drawn on an operator's own file", { args: ["--map-pmtiles", pmtiles] }, async ({ open, vagn }) => {
  const settings = await vagn.json<Record<string, unknown>>("/map/settings.json");
  assert.deepEqual([settings["style_url"], settings["pmtiles"]], [null, "/map/base.pmtiles"]);
  const window = await open(EMPTY);
  const ranges: number[] = [];
  window.page.on("response", (response) => {
    if (response.url().endsWith("/map/base.pmtiles")) ranges.push(response.status());
  });
  await window.page.goto(vagn.url("/"));
  await window.page.locator(CANVAS).first().waitFor();
  // The head with the directory, and the tile.
  await eventually("the tile to be asked for", () => ranges.length >= 2);
  assert.deepEqual(new Set(ranges), new Set([206]));
  await window.picture("map-pmtiles");
});

/** A style whose data is on the server of the style. */
const style = (port: number): unknown => ({
  version: 8,
  sources: { water: { type: "geojson", data: `https://127.0.0.1:${port}/water.geojson` } },
  layers: [
    { id: "ground", type: "background", paint: { "background-color": "#dde" } },
    { id: "water", type: "fill", source: "water", paint: { "fill-color": "#88c" } },
  ],
});
const square = [[-60, -30], [60, -30], [60, 30], [-60, 30], [-60, -30]];
const water = { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [square] } };

scenario("a style on another server is loaded, and nothing from a third", {}, async ({ open, vagn, test }) => {
  const asked: string[] = [];
  const port = (): number => (elsewhere.address() as AddressInfo).port;
  const elsewhere = createServer(identity(vagn), (request, response) => {
    asked.push(request.url ?? "");
    const body = { "/style.json": style(port()), "/water.geojson": water }[request.url ?? ""];
    response.writeHead(body ? 200 : 404, { "content-type": "application/json", "access-control-allow-origin": "*" });
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((done) => elsewhere.listen(0, "127.0.0.1", done));
  test.after(() => elsewhere.close());
  const styleUrl = `https://127.0.0.1:${port()}/style.json`;
  const styled = await Vagn.start({ args: ["--map-style-url", styleUrl] });
  test.after(() => styled.close());
  assert.equal((await styled.json<Record<string, unknown>>("/map/settings.json"))["style_url"], styleUrl);

  const window = await open(EMPTY);
  await window.page.goto(styled.url("/"));
  await eventually("style and data to be asked for", () => asked.includes("/style.json") && asked.includes("/water.geojson"));
  await window.picture("map-style");
  assert.deepEqual(window.faults, []);
  // The policy of the other service names no such server.
  window.allow(/policy|Content Security Policy/i);
  await window.page.goto(vagn.url("/"));
  const refused = await window.page.evaluate((url) => fetch(url).then(() => false, () => true), styleUrl);
  assert.ok(refused, "a page may load from a server that no setting names");
});

scenario("without the style that is set, vehicles and calls for help are on the built-in map", {}, async ({ open, vagn, test }) => {
  const nowhere = createServer(identity(vagn), (_, response) => response.writeHead(404, { "access-control-allow-origin": "*" }).end());
  await new Promise<void>((done) => nowhere.listen(0, "127.0.0.1", done));
  test.after(() => nowhere.close());
  const { port } = nowhere.address() as AddressInfo;
  const styled = await Vagn.start({ args: ["--map-style-url", `https://127.0.0.1:${port}/style.json`] });
  test.after(() => styled.close());
  await styled.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74, Emergency: true });
  const allow = [/status of 404/];
  const map = await open(styled.url("/#map=12/30.27/-97.74"), { allow });
  await mapReady(map.page);
  await map.page.getByText("Built-in map: the one that is set cannot be loaded").waitFor();
  await eventually("the pin", async () => (await pins(map.page)).join() === "bus 7");
  const desk = await open(styled.url("/incidents"), { allow });
  await desk.page.locator("#map[data-drawn='1']").waitFor();
});
