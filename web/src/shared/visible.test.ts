import assert from "node:assert/strict";
import { test } from "node:test";
import { visible } from "./visible.ts";

test("no two names look alike by what cannot be seen", () => {
  for (const [text, shown] of [
    ["bus\u200b7", "bus\\u{200b}7"],
    ["\u202e7 sub", "\\u{202e}7 sub"],
    ["bus\u2066 7\u2069", "bus\\u{2066} 7\\u{2069}"],
    ["a\u200db\u200ec\u061cd\ufeffe\u00adf", "a\\u{200d}b\\u{200e}c\\u{61c}d\\u{feff}e\\u{ad}f"],
    ["\u001b[31mbus\u009b", "\\u{1b}[31mbus\\u{9b}"],
    ["bus\u{e0041}\u3164\ufe0f\u2028", "bus\\u{e0041}\\u{3164}\\u{fe0f}\\u{2028}"],
  ] as const) {
    assert.equal(visible(text), shown);
  }
});

test("what can be seen stays as it is", () => {
  for (const text of ["", "bus 7", "Bus-07 · Süd", "автобус", "אוטובוס 7", "巴士", "🚑", "line\nline\ttab", "\\u{202e}"]) {
    assert.equal(visible(text), text);
  }
});
