// Lists of files.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Lists the paths of all files in a folder and in the folders in it, in order.
 *
 * @param {string} folder
 * @returns {string[]}
 */
export function filesBelow(folder) {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  return paths.filter((path) => statSync(path).isFile()).sort();
}
