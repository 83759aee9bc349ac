/** A smallest map file in the format PMTiles 3: one tile for the whole Earth, with one square of water in it. */

/** Bytes of the head, which the format fixes. */
const HEAD_LEN = 127;
const UNCOMPRESSED = 1;
const MVT = 1;

export function mapFile(): Buffer {
  const tile = waterTile();
  // One entry: number of entries, id of the tile, run length, length, offset + 1.
  const directory = Buffer.from([1, 0, 1, ...varint(tile.length), 1]);
  const metadata = Buffer.from(JSON.stringify({ vector_layers: [{ id: "water", fields: {}, minzoom: 0, maxzoom: 0 }] }));
  const head = Buffer.alloc(HEAD_LEN);
  head.write("PMTiles", 0);
  head[7] = 3;
  const sections = [directory.length, metadata.length, 0, tile.length];
  let offset = HEAD_LEN;
  sections.forEach((length, at) => {
    head.writeBigUInt64LE(BigInt(offset), 8 + at * 16);
    head.writeBigUInt64LE(BigInt(length), 16 + at * 16);
    offset += length;
  });
  for (const at of [72, 80, 88]) head.writeBigUInt64LE(1n, at);
  head.set([1, UNCOMPRESSED, UNCOMPRESSED, MVT, 0, 0], 96);
  [-180, -85, 180, 85].forEach((degrees, at) => head.writeInt32LE(degrees * 1e7, 102 + at * 4));
  return Buffer.concat([head, directory, metadata, tile]);
}

function waterTile(): Buffer {
  const zigzag = (value: number): number => (value << 1) ^ (value >> 31);
  const corners = [[0, 0], [4096, 0], [0, 4096], [-4096, 0]] as const;
  const moves = corners.map((corner) => corner.map(zigzag));
  // Move to the first, lines to three more, close.
  const geometry = [9, ...moves.slice(0, 1).flat(), (3 << 3) | 2, ...moves.slice(1).flat(), 15].flatMap(varint);
  const feature = [...field(3, 0, [3]), ...bytes(4, geometry)];
  const layer = [...field(15, 0, [2]), ...bytes(1, [...Buffer.from("water")]), ...bytes(2, feature), ...field(5, 0, varint(4096))];
  return Buffer.from(bytes(3, layer));
}

/** Writes a field of a protocol buffer. */
function field(number: number, kind: number, content: number[]): number[] {
  return [...varint((number << 3) | kind), ...content];
}

function bytes(number: number, content: number[]): number[] {
  return field(number, 2, [...varint(content.length), ...content]);
}

/** Writes a number in pieces of seven bits. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}
