// Runs the tests in the folders that are named: builds `*.test.ts` as Vite builds the pages, and gives them to Node's own runner.
//
//     node tools/run-tests.mjs src tools [-- options of `node --test`]
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "vite";

const ENDING = ".test.ts";
const words = process.argv.slice(2);
const end = words.includes("--") ? words.indexOf("--") : words.length;
const folders = words.slice(0, end);
const options = words.slice(end + 1);

const tests = folders.flatMap(testsBelow).sort();
if (tests.length === 0) {
  console.error(`there is no test in ${folders.join(" and ")}`);
  process.exit(1);
}
const files = await built(tests);
const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", "--test-concurrency=2", "--test-reporter=spec", ...options, ...files], {
  stdio: "inherit",
});
process.exit(run.status ?? 1);

/** @param {string} folder */
function testsBelow(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(ENDING)).map((name) => join(folder, name));
}

/**
 * Node 20 cannot read TypeScript. Packages are left out: the tests find them in node_modules.
 *
 * @param {string[]} tests
 */
async function built(tests) {
  const outDir = resolve("node_modules/.vagn-tests", folders.join("-"));
  const names = tests.map((test) => test.slice(0, -".ts".length));
  const input = Object.fromEntries(names.map((name, at) => [name, resolve(tests[at] ?? "")]));
  const output = { entryFileNames: "[name].js" };
  await build({
    configFile: false,
    logLevel: "warn",
    build: { ssr: true, target: "node20", outDir, emptyOutDir: true, sourcemap: true, rollupOptions: { input, output } },
  });
  return names.map((name) => join(outDir, `${name}.js`));
}
