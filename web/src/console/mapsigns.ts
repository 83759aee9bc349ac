/** The signs of the list as pictures for the map: the same shapes, so that nobody learns two languages. */
import type { Theme } from "../shared/theme";
import { OUTLINES, type Sign } from "./signs";

/** From the least to the most pressing: later ones are drawn above. */
export const SIGNS: Sign[] = ["resolved", "drillDone", "drill", "handled", "waiting"];
export const SIGN_RANK = Object.fromEntries(SIGNS.map((sign, rank) => [sign, rank])) as Record<Sign, number>;

/** Pixels of a picture; it is shown at half of that. */
const SIZE = 60;
const BOX = 24;

interface Paint {
  fill: string;
  halo: string;
}

const PAINTS: Record<Theme, Record<Sign, Paint>> = {
  light: {
    waiting: { fill: "#b3201a", halo: "#ffffff" },
    handled: { fill: "#2b6e4f", halo: "#ffffff" },
    resolved: { fill: "#545c65", halo: "#ffffff" },
    drill: { fill: "#5b45a8", halo: "#ffffff" },
    drillDone: { fill: "#5b45a8", halo: "#ffffff" },
  },
  dark: {
    waiting: { fill: "#ff8a80", halo: "#14181c" },
    handled: { fill: "#86d0ab", halo: "#14181c" },
    resolved: { fill: "#aab3bd", halo: "#14181c" },
    drill: { fill: "#bcaef5", halo: "#14181c" },
    drillDone: { fill: "#bcaef5", halo: "#14181c" },
  },
};

export function signImage(sign: Sign, theme: Theme): ImageData {
  const { fill, halo } = PAINTS[theme][sign];
  const canvas = new OffscreenCanvas(SIZE, SIZE);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser draws no pictures");
  const shape = new Path2D(OUTLINES[sign]);
  const scale = (SIZE - 8) / BOX;
  context.translate(4, 4);
  context.scale(scale, scale);
  // The halo also fills the holes of the shape, so that the ground does not show through.
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = halo;
  context.stroke(shape);
  context.fillStyle = halo;
  context.fill(shape, "nonzero");
  context.fillStyle = fill;
  context.fill(shape, "evenodd");
  return context.getImageData(0, 0, SIZE, SIZE);
}
