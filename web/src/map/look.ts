/** Colours of vehicles for the graphics card; each kind has a shape or a size of its own too. */
import type { Theme } from "../shared/theme";
import type { Colour, Look } from "./fleet/layer";

export const looks: Record<Theme, Look> = {
  light: { body: [colour("#2f5f86"), colour("#b3201a"), colour("#5b45a8"), colour("#0e7490")], rim: colour("#ffffff") },
  dark: { body: [colour("#8fbfe6"), colour("#ff6f63"), colour("#bcaef5"), colour("#67d6ee")], rim: colour("#14181c") },
};

function colour(hex: string): Colour {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
  return [part(1), part(3), part(5), 1];
}
