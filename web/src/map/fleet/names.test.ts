import assert from "node:assert/strict";
import { test } from "node:test";
import { readNames } from "./names.ts";

/** A field with a length: number, bytes. */
const field = (number: number, ...bytes: number[]) => [number * 8 + 2, bytes.length, ...bytes];
const text = (value: string) => [...new TextEncoder().encode(value)];

test("ids and keys are read from a vector tile", () => {
  const key = [0xf5, 0xff, 0xff, 0xff, 0x0f];
  const layer = [
    120,
    2,
    ...field(1, ...text("vehicles")),
    ...field(2, 8, ...key, ...field(2, 0, 0, 1, 1), 24, 1, ...field(4, 9, 2, 2)),
    ...field(3, ...text("heading")),
    ...field(3, ...text("id")),
    ...field(4, 0x19, 0, 0, 0, 0, 0, 0, 0, 0),
    ...field(4, ...field(1, ...text("buß 7"))),
    40,
    0x80,
    0x20,
  ];
  const bytes = Uint8Array.from([
    0x1a,
    (layer.length & 0x7f) | (layer.length > 127 ? 0x80 : 0),
    ...(layer.length > 127 ? [layer.length >> 7] : []),
    ...layer,
  ]);
  assert.deepEqual(readNames(bytes), [{ key: 0xffff_fff5, id: "buß 7" }]);
});

test("groups have no ids, and an empty tile has nothing", () => {
  const layer = [
    ...field(1, ...text("vehicles")),
    ...field(2, ...field(2, 0, 0)),
    ...field(3, ...text("n")),
    ...field(4, 40, 12),
  ];
  assert.deepEqual(readNames(Uint8Array.from([0x1a, layer.length, ...layer])), []);
  assert.deepEqual(readNames(new Uint8Array()), []);
});
