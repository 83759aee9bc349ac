/** The ground of a tile for the graphics card: its centre, and the projection around it. */
import type { TileId } from "./cover";

export interface Frame {
  /** 1e-7 degrees, so that places are taken from it without rounding. */
  centre: [number, number];
  cosLat: number;
  /** Tiles in a degree to the east. */
  east: number;
  /** Tiles in a degree to the north, in its square and its cube. */
  north: [number, number, number];
}

/**
 * The centre of a tile in 1e-7 degrees, and Mercator's projection around it as a series: a tile of zoom 11 is so small that the
 * fourth power is below a millimetre.
 */
export function tileFrame({ z, x, y }: TileId): Frame {
  const size = 2 ** z;
  const lon = ((x + 0.5) / size - 0.5) * 360;
  const lat = Math.asin(Math.tanh((0.5 - (y + 0.5) / size) * 2 * Math.PI));
  const centreLat = Math.round((lat * 180e7) / Math.PI);
  const [sec, tan] = [1 / Math.cos(lat), Math.tan(lat)];
  const radian = Math.PI / 180;
  const scale = size / (2 * Math.PI);
  return {
    centre: [Math.round(lon * 1e7), centreLat],
    cosLat: Math.cos(lat),
    east: size / 360,
    north: [scale * sec * radian, (scale * sec * tan * radian ** 2) / 2, (scale * sec * (1 + 2 * tan * tan) * radian ** 3) / 6],
  };
}
