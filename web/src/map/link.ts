/**
 * The link to what is seen, in the part of the address after `#`: view, selection, filter.
 *
 * `lat` and `lon` in the query belong to the answer for programs, so nothing of the page stands there.
 */
import type { View } from "../shared/bounds";

export const FILTERS = ["all", "moving", "standing", "silent"] as const;
export type Filter = (typeof FILTERS)[number];

export interface Link {
  view: View | null;
  vehicle: string | null;
  filter: Filter;
  list: boolean;
}

const NUMBER = /^-?\d{1,3}(\.\d+)?$/;

/** Reads a link; what cannot be read is as if it were not there. */
export function readLink(hash: string): Link {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const filter = params.get("show");
  return {
    view: readView(params.get("map") ?? ""),
    vehicle: params.get("vehicle") || null,
    filter: FILTERS.find((known) => known === filter) ?? "all",
    list: params.has("list"),
  };
}

/** Writes a link with as many digits as the zoom can show. */
export function writeLink({ view, vehicle, filter, list }: Link): string {
  const params = new URLSearchParams();
  const digits = view ? Math.min(6, Math.max(1, Math.ceil(view.zoom / 3))) : 0;
  // Slashes are left as they are: a link that people read.
  const place = view ? `map=${view.zoom.toFixed(2)}/${view.lat.toFixed(digits)}/${view.lon.toFixed(digits)}` : "";
  if (vehicle !== null) params.set("vehicle", vehicle);
  if (filter !== "all") params.set("show", filter);
  if (list) params.set("list", "1");
  return `#${[place, params.toString()].filter((part) => part !== "").join("&")}`;
}

function readView(text: string): View | null {
  const parts = text.split("/");
  if (parts.length !== 3 || !parts.every((part) => NUMBER.test(part))) return null;
  const [zoom = 0, lat = 0, lon = 0] = parts.map(Number);
  return zoom >= 0 && zoom <= 24 && Math.abs(lat) <= 90 && Math.abs(lon) <= 360 ? { zoom, lat, lon } : null;
}
