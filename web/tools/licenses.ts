// Writes licenses.txt into the build: the licence of every package that is part of it, by the rules of deny.toml.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** A package as package-lock.json lists it. */
interface Locked {
  version: string;
  license?: string;
  dev?: boolean;
}

/** Tools that put code of their own into the build: loading of chunks, the joints between modules. */
const TOOLS = ["vite", "rolldown"];

const HEAD = `The pages of Vagn are made with the packages below. Their licences follow.
The data of the built-in map is from Natural Earth, which is in the public domain.
`;

export function licenses(): Plugin {
  let root = "";
  return {
    name: "vagn-licenses",
    apply: "build",
    configResolved(config) {
      root = config.root;
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: text(root) });
    },
  };
}

function text(root: string): string {
  const allowed = allowedLicences(readFileSync(join(root, "../deny.toml"), "utf8"));
  const parts = shipped(root).map(([path, { version, license = "none" }]) => {
    const name = nameOf(path);
    if (!isAllowed(license, allowed)) {
      throw new Error(`${name} is under the licence ${license}, which deny.toml does not allow; take another package`);
    }
    return `${"-".repeat(80)}\n${name} ${version}, ${license}\n\n${licenceText(join(root, path))}\n`;
  });
  return [HEAD, ...parts].join("\n");
}

/** Lists the packages that are part of the build. What a package brings along in its own bundle is listed by the lock, too. */
function shipped(root: string): Array<[path: string, locked: Locked]> {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as { packages: Record<string, Locked> };
  return Object.entries(lock.packages)
    .filter(([path, locked]) => path !== "" && (TOOLS.includes(nameOf(path)) || !(locked.dev ?? false)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Returns the name of a package by its path, such as `node_modules/a/node_modules/@scope/b`. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
}

/** Judges an expression of SPDX: one choice of OR must be allowed, with all that it joins by AND. */
export function isAllowed(licence: string, allowed: ReadonlySet<string>): boolean {
  const choices = licence.replace(/^\((.*)\)$/, "$1").split(" OR ");
  return choices.some((choice) => choice.split(" AND ").every((one) => allowed.has(one)));
}

/** Reads the list `allow` of the section `licenses` in deny.toml. */
export function allowedLicences(deny: string): Set<string> {
  const list = /\[licenses\][^[]*allow = \[([^\]]*)\]/.exec(deny)?.[1] ?? "";
  return new Set([...list.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? ""));
}

/** Heading in the licence of a tool under which the packages inside the tool follow; these are no part of the build. */
const INSIDE = /^#+ .*bundled dependencies/im;

/** Returns the texts of the licences in the folder of a package, or a line that says that it has none. */
function licenceText(folder: string): string {
  const names = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name)).sort();
  const texts = names.map((name) => readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n").split(INSIDE)[0]?.trim());
  return texts.join("\n\n") || "The package has no text of its licence.";
}
