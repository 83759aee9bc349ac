// The build of the two pages: the live map and the incident console.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    assetsDir: "assets",
    // The content security policy allows no inline code, and every browser with ES2022 preloads modules.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: { input: { map: "index.html", console: "incidents.html" } },
  },
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
