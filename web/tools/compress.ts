// Writes a Brotli and a gzip form beside each file of the build, so that the server only has to choose one.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** A compressed form is kept if it saves a tenth at least: pictures and fonts are compressed already. */
const WORTH = 0.9;

const FORMS: ReadonlyArray<[ending: string, compress: (bytes: Buffer) => Buffer]> = [
  [".br", brotli],
  [".gz", (bytes) => gzipSync(bytes, { level: 9 })],
];

export function compress(): Plugin {
  let folder = "";
  return {
    name: "vagn-compress",
    apply: "build",
    configResolved(config) {
      folder = join(config.root, config.build.outDir);
    },
    // After all bundles are written, those of the workers too.
    closeBundle() {
      for (const path of filesBelow(folder)) compressFile(path);
    },
  };
}

/** Lists the paths of all files in a folder and in the folders in it. */
export function filesBelow(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  return paths.filter((path) => statSync(path).isFile()).sort();
}

function compressFile(path: string): void {
  if (FORMS.some(([ending]) => path.endsWith(ending))) return;
  const bytes = readFileSync(path);
  for (const [ending, form] of FORMS) {
    const compressed = form(bytes);
    if (compressed.length < bytes.length * WORTH) writeFileSync(path + ending, compressed);
    else rmSync(path + ending, { force: true });
  }
}

function brotli(bytes: Buffer): Buffer {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotliCompressSync(bytes, { params });
}
