// Builds the pages anew and compares them with web/dist, which is what the service embeds; then looks at their size.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { filesBelow } from "./files.mjs";
import { FORMS, opensTo } from "./forms.mjs";

const DIST = "dist";
/** Most bytes of all files in gzip, without the built-in map. */
const SIZE_MAX = 1_000_000;
const BASEMAP = "assets/basemap-";

const anew = mkdtempSync(join(tmpdir(), "vagn-dist-"));
try {
  await build({ logLevel: "warn", build: { outDir: anew, emptyOutDir: true } });
  const faults = [...compare(), ...sizes()];
  if (faults.length > 0) {
    console.error(faults.join("\n"));
    process.exit(1);
  }
} finally {
  rmSync(anew, { recursive: true });
}

/** @returns {string[]} */
function compare() {
  const kept = existsSync(DIST) ? namesIn(DIST) : [];
  const plain = kept.filter((name) => !isForm(name));
  const built = namesIn(anew);
  const differing = [
    ...built.filter((name) => !plain.includes(name)).map((name) => `${name} is missing`),
    ...plain.filter((name) => !built.includes(name)).map((name) => `${name} should not be there`),
    ...plain.filter((name) => built.includes(name) && !isSame(name)).map((name) => `${name} has another content`),
    ...kept.filter((name) => isForm(name) && !opensToPlain(name)).map((name) => `${name} is not a form of its file`),
  ];
  if (differing.length === 0) return [];
  const list = differing.map((what) => `  ${what}`);
  return ["web/dist is not what its source builds to: run `make web`, and commit web/dist with the source.", ...list];
}

/** @param {string} name */
function isSame(name) {
  return readFileSync(join(DIST, name)).equals(readFileSync(join(anew, name)));
}

/** @param {string} name */
function isForm(name) {
  return FORMS.some((form) => name.endsWith(form.ending));
}

/** @param {string} name */
function opensToPlain(name) {
  return FORMS.filter((form) => name.endsWith(form.ending)).every((form) => {
    const plain = join(DIST, name.slice(0, -form.ending.length));
    return existsSync(plain) && opensTo(form, readFileSync(join(DIST, name)), readFileSync(plain));
  });
}

/** @returns {string[]} */
function sizes() {
  const size = (/** @type {string} */ name) => gzipSync(readFileSync(join(anew, name)), { level: 9 }).length;
  const total = (/** @type {string[]} */ names) => names.reduce((sum, name) => sum + size(name), 0);
  const names = namesIn(anew);
  const pages = total(names.filter((name) => !name.startsWith(BASEMAP)));
  const basemap = total(names.filter((name) => name.startsWith(BASEMAP)));
  console.log(`pages: ${kilobytes(pages)} in gzip, and ${kilobytes(basemap)} of the built-in map`);
  return pages > SIZE_MAX ? [`the pages have more than ${kilobytes(SIZE_MAX)} in gzip: make them smaller`] : [];
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${Math.ceil(bytes / 1000)} kB`;
}

/** @param {string} folder */
function namesIn(folder) {
  return filesBelow(folder).map((path) => relative(folder, path));
}
