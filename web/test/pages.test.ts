/** What the service does for its pages: it gives them out, tells the browser what they may load, and asks for a token. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DARK, PHONE } from "./support/browser";
import { mapFile } from "./support/pmtiles";
import { scenario } from "./support/scenario";
import { identity, Vagn } from "./support/vagn";
import { eventually } from "./support/wait";

/** The map is drawn by WebGL, with a worker beside it. */
const CANVAS = "canvas.maplibregl-canvas";

scenario("both pages come whole, in every form of screen, and break no rule of their policy", {}, async ({ open }) => {
  for (const path of ["/", "/incidents"]) {
    for (const view of [{}, PHONE, DARK]) {
      const window = await open(path, view);
      await window.page.waitForLoadState("networkidle").catch(() => "a stream never ends");
      assert.match(await window.page.title(), /Vagn/);
      await window.picture(`${path === "/" ? "map" : "console"}-${view === PHONE ? "phone" : view === DARK ? "dark" : "light"}`);
    }
  }
  const map = await open("/");
  await map.page.locator(CANVAS).first().waitFor();
});

scenario("scripts come compressed, and are kept for good", {}, async ({ open }) => {
  const window = await open("/licenses.txt");
  const seen: Array<[url: string, headers: Promise<Record<string, string>>]> = [];
  window.page.on("response", (response) => seen.push([response.url(), response.allHeaders()]));
  await window.page.goto(new URL("/", window.page.url()).href);
  await window.page.locator(CANVAS).first().waitFor();
  const scripts = seen.filter(([url]) => /\/assets\/.*\.js$/.test(url));
  assert.ok(scripts.length > 0);
  for (const [url, headers] of scripts) {
    const { "content-encoding": encoding, "cache-control": cache } = await headers;
    // A file of a few bytes does not get smaller.
    assert.ok(encoding === "br" || encoding === undefined, `${url}: ${encoding}`);
    assert.equal(cache, "public, max-age=31536000, immutable", url);
  }
  const largest = scripts.find(([url]) => url.includes("maplibre"));
  assert.equal((await largest?.[1])?.["content-encoding"], "br");
});

scenario("where a token is set the page asks for it, again if it is wrong, and goes on", { tokens: ["s3cret"] }, async ({ open }) => {
  const window = await open("/incidents", { allow: [/status of 401/] });
  const input = window.page.locator("dialog input[type=password]");
  await input.waitFor();
  await input.fill("a wrong one");
  await input.press("Enter");
  // Spaces cannot stand in a token; the dialog stays.
  await input.fill("wrong");
  await input.press("Enter");
  await eventually("the page to ask again", async () => (await input.inputValue()) === "");
  await input.fill("s3cret");
  await input.press("Enter");
  await window.page.locator("dialog").waitFor({ state: "detached" });
  const stored = await window.page.evaluate(() => Object.values({ ...sessionStorage }));
  assert.ok(stored.includes("s3cret"));
  assert.equal(await window.page.evaluate(() => Object.keys({ ...localStorage }).length), 0, "a token must not outlive the tab");
});

const folder = mkdtempSync(join(tmpdir(), "vagn-map-"));
const pmtiles = join(folder, "base.pmtiles");
writeFileSync(pmtiles, mapFile());
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

scenario("the map is drawn on an operator's own file", { args: ["--map-pmtiles", pmtiles] }, async ({ open, vagn }) => {
  const settings = await vagn.json<Record<string, unknown>>("/map/settings.json");
  assert.deepEqual([settings["style_url"], settings["pmtiles"]], [null, "/map/base.pmtiles"]);
  const window = await open("/licenses.txt");
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

const style = {
  version: 8,
  sources: { water: { type: "geojson", data: "water.geojson" } },
  layers: [
    { id: "ground", type: "background", paint: { "background-color": "#dde" } },
    { id: "water", type: "fill", source: "water", paint: { "fill-color": "#88c" } },
  ],
};
const square = [[-60, -30], [60, -30], [60, 30], [-60, 30], [-60, -30]];
const water = { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [square] } };

scenario("a style on another server is loaded, and nothing from a third", {}, async ({ open, vagn, test }) => {
  const asked: string[] = [];
  const elsewhere = createServer(identity(vagn), (request, response) => {
    asked.push(request.url ?? "");
    const body = { "/style.json": style, "/water.geojson": water }[request.url ?? ""];
    response.writeHead(body ? 200 : 404, { "content-type": "application/json", "access-control-allow-origin": "*" });
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((done) => elsewhere.listen(0, "127.0.0.1", done));
  test.after(() => elsewhere.close());
  const { port } = elsewhere.address() as AddressInfo;
  const styleUrl = `https://127.0.0.1:${port}/style.json`;
  const styled = await Vagn.start({ args: ["--map-style-url", styleUrl] });
  test.after(() => styled.close());
  assert.equal((await styled.json<Record<string, unknown>>("/map/settings.json"))["style_url"], styleUrl);

  const window = await open("/licenses.txt");
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
