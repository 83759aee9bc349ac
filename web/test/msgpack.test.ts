import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { encode } from "./support/msgpack";

/** The blocks of hex in docs/wire.md, without their comments. */
function examples(): string[] {
  const blocks = readFileSync("../docs/wire.md", "utf8").matchAll(/```hex\n([^`]*)```/g);
  return [...blocks].map((block) => (block[1] ?? "").replaceAll(/( {2,}|\t|(?<=[0-9a-f]) ?")[^\n]*/g, "").replaceAll(/\s/g, ""));
}

test("a report is written as the description of the format has it", () => {
  const call = encode({ ID: "bus 7", Seq: 42, Kind: "test", Emergency: true }).toString("hex");
  assert.ok(examples().includes(call), `${call} is none of ${examples().join("\n")}`);
  const report = {
    ID: "4e091396-62ae-4f3b-8715-7b4fc9c64d14",
    Lon: -77.32020642719667,
    Lat: -36.477359202898015,
    Emergency: false,
  };
  const base64 = "hKJJRNkkNGUwOTEzOTYtNjJhZS00ZjNiLTg3MTUtN2I0ZmM5YzY0ZDE0o0xvbsvAU1R+Qxkx1qNMYXTLwEI9Ghs6ciCpRW1lcmdlbmN5wg==";
  assert.equal(encode(report).toString("base64"), base64);
});
