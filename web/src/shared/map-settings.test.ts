import assert from "node:assert/strict";
import { test } from "node:test";
import { isBundled, mapSettings, type MapSettings } from "./map-settings";

const SET: MapSettings = { version: "1", style_url: "https://maps.example/style.json", pmtiles: null, udp: 9092 };

test("settings that cannot be read are asked for again, and at last the bundled map is drawn", async () => {
  let asked = 0;
  const after = (failures: number) => (): Promise<MapSettings> =>
    (asked += 1) > failures ? Promise.resolve(SET) : Promise.reject(new Error("503"));
  assert.deepEqual(await mapSettings(after(2), [0, 0, 0]), SET);
  assert.equal(asked, 3);
  assert.ok(isBundled(await mapSettings(after(99), [0, 0, 0])));
});
