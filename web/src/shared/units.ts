/** Speeds, distances and headings in words. The API speaks SI; people choose. */
import { strings } from "./strings";

const words = strings.common;

export type UnitSystem = "metric" | "imperial";

export function speed(mps: number, system: UnitSystem): string {
  return system === "metric" ? words.kmh(Math.round(mps * 3.6)) : words.mph(Math.round(mps * 2.236_936));
}

/** Two or three digits are as much as anybody reads. */
export function distance(metres: number, system: UnitSystem): string {
  if (system === "metric") return metres < 995 ? words.metres(Math.round(metres)) : words.kilometres(short(metres / 1000));
  const miles = metres / 1609.344;
  return miles < 0.19 ? words.feet(Math.round(metres / 0.3048)) : words.miles(short(miles));
}

function short(value: number): string {
  return value < 9.95 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

/** `NE 45°`; the name for those who look out of the window, the number for those who do not. */
export function heading(degrees: number): string {
  const at = Math.round(degrees / 45) % 8;
  return `${words.winds[at]} ${Math.round(degrees) % 360}°`;
}

/** A place as people write it into a search box or say it on the radio; five digits are about a metre. */
export function place(lat: number, lon: number, digits = 5): string {
  return `${lat.toFixed(digits)}, ${lon.toFixed(digits)}`;
}
