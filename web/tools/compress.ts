// Writes a Brotli and a gzip form beside each file of the build, so that the server only has to choose one.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import { filesBelow } from "./files.mjs";
import { FORMS, opensTo } from "./forms.mjs";

/** A compressed form is kept if it saves a tenth at least: pictures and fonts are compressed already. */
const WORTH = 0.9;

/** Compresses what is built into `outDir`; a build into another folder is only looked at. */
export function compress(outDir: string): Plugin {
  let folder = "";
  let before = new Map<string, Buffer>();
  return {
    name: "vagn-compress",
    apply: (config, { command }) => command === "build" && config.build?.outDir === outDir,
    configResolved(config) {
      folder = join(config.root, config.build.outDir);
    },
    buildStart() {
      before = formsBelow(folder);
    },
    // After all bundles are written, those of the workers too.
    async closeBundle() {
      await Promise.all(filesBelow(folder).map((path) => compressFile(path, before)));
    },
  };
}

/** Reads the forms of the last build: the best Brotli of a megabyte takes seconds, and most files have not changed. */
function formsBelow(folder: string): Map<string, Buffer> {
  const paths = existsSync(folder) ? filesBelow(folder) : [];
  const forms = paths.filter((path) => FORMS.some((form) => path.endsWith(form.ending)));
  return new Map(forms.map((path) => [path, readFileSync(path)]));
}

async function compressFile(path: string, before: ReadonlyMap<string, Buffer>): Promise<void> {
  const bytes = readFileSync(path);
  for (const form of FORMS) {
    const last = before.get(path + form.ending);
    const compressed = last && opensTo(form, last, bytes) ? last : await form.compress(bytes);
    if (compressed.length < bytes.length * WORTH) writeFileSync(path + form.ending, compressed);
  }
}
