/** The page of the live map as its script sees it: where panels are sheets, and what they leave of the map. */
import { ScaleControl } from "maplibre-gl";
import type { UnitSystem } from "../shared/units";

/** Width of a page, in pixels, on which panels are sheets; the same as in the style. */
const PHONE_PX = 640;

/** Panels are sheets, and there is room for one. */
export function isPhone(): boolean {
  return innerWidth <= PHONE_PX;
}

/** Pixels between the fleet and the edges of the page. */
export function padding(): number {
  return isPhone() ? 40 : 90;
}

export function scaleControl(system: UnitSystem): ScaleControl {
  return new ScaleControl({ maxWidth: 110, unit: system });
}
