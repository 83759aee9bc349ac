/** What the person chose, kept in this browser. */
import type { UnitSystem } from "./units";

const UNITS = "vagn.units";
/** Regions whose road signs are in miles. */
const MILES = new Set(["US", "GB", "LR", "MM"]);

export function readUnits(): UnitSystem {
  try {
    const stored = localStorage.getItem(UNITS);
    if (stored === "metric" || stored === "imperial") return stored;
  } catch {
    // A browser that allows no storage: the region decides.
  }
  return MILES.has(new Intl.Locale(navigator.language).region ?? "") ? "imperial" : "metric";
}

export function writeUnits(units: UnitSystem): void {
  try {
    localStorage.setItem(UNITS, units);
  } catch {
    // A browser that allows no storage keeps the choice until the page is loaded again.
  }
}
