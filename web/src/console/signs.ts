/** Signs of the states: each has a shape of its own, so that none depends on its colour. */
import { icon } from "../shared/dom";
import type { Incident } from "../shared/api";

export type Sign = "waiting" | "handled" | "resolved" | "drill" | "drillDone";

/** Outlines in a box of 24 × 24, filled by the rule of even and odd. */
export const OUTLINES: Record<Sign, string> = {
  // A triangle with an exclamation mark.
  waiting: "M12 2.5 23 21.5H1ZM11 9v6.5h2V9ZM11 17v2.2h2V17Z",
  // A disc with a tick.
  handled: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20ZM10.6 16.6 17.5 9.4 16 8l-5.4 5.7L8 11.3l-1.5 1.4Z",
  // A ring with a tick.
  resolved: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20ZM12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM10.6 16.6 17.5 9.4 16 8l-5.4 5.7L8 11.3l-1.5 1.4Z",
  // A square frame with a D.
  drill: "M2 2h20v20H2ZM4 4v16h16V4ZM8 7h4a5 5 0 0 1 0 10H8ZM10 9v6h2a3 3 0 0 0 0-6Z",
  // A square frame with a tick.
  drillDone: "M2 2h20v20H2ZM4 4v16h16V4ZM10.6 16.6 17.5 9.4 16 8l-5.4 5.7L8 11.3l-1.5 1.4Z",
};

export function signOf(incident: Incident): Sign {
  if (incident.test) return incident.acknowledged || incident.state === "resolved" ? "drillDone" : "drill";
  if (incident.state === "resolved") return "resolved";
  return incident.acknowledged ? "handled" : "waiting";
}

export function signIcon(sign: Sign): SVGSVGElement {
  const svg = icon(OUTLINES[sign], `sign sign-${sign}`);
  svg.firstElementChild?.setAttribute("fill-rule", "evenodd");
  return svg;
}
