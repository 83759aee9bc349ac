/** Writes the part of msgpack that reports need: maps, texts, numbers and flags. Independent of the service's own reader. */

export type Value = string | number | boolean | null | { [key: string]: Value };

export function encode(value: Value): Buffer {
  if (value === null) return Buffer.of(0xc0);
  if (typeof value === "boolean") return Buffer.of(value ? 0xc3 : 0xc2);
  if (typeof value === "string") return text(value);
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? integer(value) : float(value);
  const entries = Object.entries(value);
  if (entries.length > 15) throw new RangeError("a report has fewer keys");
  return Buffer.concat([Buffer.of(0x80 | entries.length), ...entries.flatMap(([key, inner]) => [text(key), encode(inner)])]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  if (bytes.length < 32) return Buffer.concat([Buffer.of(0xa0 | bytes.length), bytes]);
  if (bytes.length < 256) return Buffer.concat([Buffer.of(0xd9, bytes.length), bytes]);
  throw new RangeError("no text of a report is so long");
}

function integer(value: number): Buffer {
  if (value >= 0 && value < 128) return Buffer.of(value);
  const bytes = Buffer.alloc(9);
  bytes[0] = value < 0 ? 0xd3 : 0xcf;
  if (value < 0) bytes.writeBigInt64BE(BigInt(value), 1);
  else bytes.writeBigUInt64BE(BigInt(value), 1);
  return bytes;
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcb;
  bytes.writeDoubleBE(value, 1);
  return bytes;
}
