/**
 * Makes the bundled basemap from Natural Earth: `earth.json` (land, lakes, borders), `coarse.json` (land and borders in few points,
 * which are drawn until the fine ones are there) and `names.json`.
 *
 * Land and borders come from the npm package `world-atlas`, whose polygons are spherical: the cuts at the antimeridian have
 * been stitched away, and a planar renderer would paint bands over the Arctic. Here they are cut again. Lakes, lines of
 * provinces and places are not in that package; they are taken from a folder with Natural Earth in GeoJSON, where one is given.
 *
 *     node basemap/make.mjs [FOLDER]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { geoArea, geoCentroid, geoEquirectangular } from "d3-geo";
import { geoProject } from "d3-geo-projection";
import { feature, mesh } from "topojson-client";

const require = createRequire(import.meta.url);
const here = (name) => new URL(name, import.meta.url);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const atlas = (name) => read(require.resolve(`world-atlas/${name}.json`));

/** Degrees in, degrees out, but cut at ±180. */
const flat = geoEquirectangular()
  .scale(180 / Math.PI)
  .translate([0, 0])
  .reflectY(true)
  .precision(0);

/** Digits after the point of a degree: 0.001° is some 100 m, finer than the data. */
function rounded(coordinates, digits) {
  if (typeof coordinates[0] === "number") return coordinates.map((value) => Number(value.toFixed(digits)));
  const all = coordinates.map((part) => rounded(part, digits));
  if (typeof all[0]?.[0] !== "number") return all;
  return all.filter((point, at) => at === 0 || point[0] !== all[at - 1][0] || point[1] !== all[at - 1][1]);
}

function shape(kind, geometry, digits, extra = {}) {
  return {
    type: "Feature",
    properties: { kind, ...extra },
    geometry: { type: geometry.type, coordinates: rounded(geometry.coordinates, digits) },
  };
}

/** One feature per polygon, so that a tile index need not hold the whole Earth for one island. */
function polygons(kind, geometry, digits, extra) {
  const parts = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  return parts.map((coordinates) => shape(kind, { type: "Polygon", coordinates }, digits, extra));
}

function land(topology, digits) {
  const whole = geoProject(feature(topology, topology.objects.land), flat);
  return whole.features.flatMap((one) => polygons("land", one.geometry, digits));
}

/** Borders between two countries; the coast is the edge of the land. */
function borders(topology, digits) {
  const lines = mesh(topology, topology.objects.countries, (one, other) => one !== other);
  return shape("border", geoProject(lines, flat), digits);
}

function lakes(folder) {
  const all = read(`${folder}/50m/physical/ne_50m_lakes.json`).features;
  return all
    .filter((one) => one.properties.scalerank <= 3)
    .flatMap((one) => polygons("lake", one.geometry, 2, { zoom: one.properties.min_zoom }));
}

function provinces(folder) {
  const all = read(`${folder}/50m/cultural/ne_50m_admin_1_states_provinces_lines.json`).features;
  return all.map((one) => shape("province", one.geometry, 2));
}

/** The largest polygon of a country tells where its name belongs, and from which zoom there is room for it. */
function countryName(country) {
  const parts = country.geometry.type === "Polygon" ? [country.geometry.coordinates] : country.geometry.coordinates;
  const sized = parts.map((coordinates) => ({ coordinates, area: geoArea({ type: "Polygon", coordinates }) }));
  const largest = sized.reduce((one, other) => (other.area > one.area ? other : one));
  const zoom = Math.min(6, Math.max(1, 1.2 - Math.log2(largest.area) / 2));
  return {
    type: "Feature",
    properties: { kind: "country", name: country.properties.name, zoom: Number(zoom.toFixed(1)) },
    geometry: { type: "Point", coordinates: rounded(geoCentroid({ type: "Polygon", coordinates: largest.coordinates }), 2) },
  };
}

function places(folder) {
  const all = read(`${folder}/10m/cultural/ne_10m_populated_places_simple.json`).features;
  return all
    .map(({ properties: of }) => ({
      type: "Feature",
      properties: {
        kind: of.adm0cap ? "capital" : "town",
        name: of.name,
        zoom: Math.max(2.5, of.min_zoom),
        rank: of.scalerank,
      },
      geometry: { type: "Point", coordinates: rounded([of.longitude, of.latitude], 3) },
    }))
    .sort((one, other) => one.properties.rank - other.properties.rank || compare(one.properties.name, other.properties.name));
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}

/** One feature per line, so that a change is readable. */
function write(name, features) {
  const lines = features.map((one) => JSON.stringify(one)).join(",\n");
  writeFileSync(here(name), `{"type":"FeatureCollection","features":[\n${lines}\n]}\n`);
}

/** What stands in the committed file and cannot be made without the folder. */
function kept(name, kinds) {
  return existsSync(here(name)) ? read(here(name)).features.filter((one) => kinds.includes(one.properties.kind)) : [];
}

const folder = process.argv[2];
const small = atlas("countries-50m");
const smallest = atlas("countries-110m");
write("earth.json", [
  ...land(small, 3),
  ...(folder ? lakes(folder) : kept("earth.json", ["lake"])),
  ...(folder ? provinces(folder) : kept("earth.json", ["province"])),
  borders(small, 3),
]);
write("coarse.json", [...land(smallest, 1), borders(smallest, 1)]);
write("names.json", [
  ...feature(small, small.objects.countries)
    .features.filter((one) => one.properties.name)
    .map(countryName),
  ...(folder ? places(folder) : kept("names.json", ["capital", "town"])),
]);
