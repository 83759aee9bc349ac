// The build of the pages: the live map, the incident console, and the page of a shared place.
import { defineConfig } from "vite";
import { compress } from "./tools/compress.ts";
import { licenses } from "./tools/licenses.ts";

/** Folder that is embedded in the service. */
const DIST = "dist";

/** Begin of the names of the built-in map's files: the check of sizes leaves them out. */
const BASEMAP = "basemap/";

export default defineConfig({
  base: "/",
  plugins: [licenses(), compress(DIST)],
  build: {
    target: "es2022",
    outDir: DIST,
    emptyOutDir: true,
    assetsDir: "assets",
    // The content security policy allows no inline code, and every browser with ES2022 preloads modules.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // MapLibre has a megabyte, in a chunk of its own.
    chunkSizeWarningLimit: 1200,
    // The server takes the hash in a name as a promise that the content never changes.
    rollupOptions: {
      // A worker is built within the build, which takes its time.
      checks: { pluginTimings: false },
      input: { map: "index.html", console: "incidents.html", share: "share.html" },
      output: {
        // So that a change of our own code leaves the largest file in the caches of browsers.
        codeSplitting: { groups: [{ name: "maplibre-gl", test: /node_modules\/maplibre-gl\// }] },
        assetFileNames: ({ originalFileNames }) =>
          originalFileNames.some((name) => name.startsWith(BASEMAP))
            ? "assets/basemap-[name]-[hash][extname]"
            : "assets/[name]-[hash][extname]",
      },
    },
  },
  worker: { format: "es" },
  server: {
    // While writing: `npx vite` shows the pages, a running service answers their questions.
    proxy: Object.fromEntries(
      ["/api", "/tiles", "/tiles.json", "/map"].map((path) => [
        path,
        { target: process.env["VAGN_URL"] ?? "https://localhost:9090", secure: false, changeOrigin: true },
      ]),
    ),
  },
});
