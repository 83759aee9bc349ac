/** The few kinds of protobuf fields that a vector tile has; the format: https://protobuf.dev/programming-guides/encoding. */

export interface Field {
  field: number;
  number?: number;
  bytes?: Uint8Array;
}

export function fields(bytes: Uint8Array): Field[] {
  const found: Field[] = [];
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = number(bytes, cursor);
    const field = Math.floor(tag / 8);
    const kind = tag % 8;
    if (kind === 0) found.push({ field, number: number(bytes, cursor) });
    else if (kind === 2) {
      const length = number(bytes, cursor);
      found.push({ field, bytes: bytes.subarray(cursor.at, cursor.at + length) });
      cursor.at += length;
    } else cursor.at += kind === 1 ? 8 : 4;
  }
  return found;
}

export function numbers(bytes: Uint8Array): number[] {
  const cursor = { at: 0 };
  const found: number[] = [];
  while (cursor.at < bytes.length) found.push(number(bytes, cursor));
  return found;
}

/** A number of variable length; beyond 53 bits it would not be exact, and keys have 32. */
function number(bytes: Uint8Array, cursor: { at: number }): number {
  let [value, scale] = [0, 1];
  for (;;) {
    const byte = bytes[cursor.at] ?? 0;
    cursor.at += 1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 128;
  }
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
