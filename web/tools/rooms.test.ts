/** Which folder of the pages may know which: what two pages use is in `shared/`, and no page knows another one. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { test } from "node:test";

const ROOT = "src";
const IMPORTED = /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/** Folder of a page, or the one that they share; `..` for what is not part of the script. */
const room = (path: string): string => relative(ROOT, path).split(sep)[0]!;

test("a page knows itself and what is shared, and what is shared knows no page", () => {
  const files = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const strays = files.flatMap((name) => {
    const path = join(ROOT, name);
    const imported = [...readFileSync(path, "utf8").matchAll(IMPORTED)].map(([, to]) => join(dirname(path), to!));
    return imported.filter((to) => ![room(path), "shared", ".."].includes(room(to))).map((to) => `${path} knows ${to}`);
  });
  assert.ok(files.length > 0);
  assert.deepEqual(strays, []);
});
