/** Vehicles that are drawn on top of each other, as a list to choose from. */
import { el } from "../shared/dom";
import { strings } from "../shared/strings";
import { ago } from "../shared/time";
import { speed, type UnitSystem } from "../shared/units";
import type { CardContent } from "./card";
import type { Drawn } from "./fleet/fleet";
import { DRILL, REAL } from "./fleet/record";

const words = strings.map;

/** A vehicle with its id. */
export interface Stacked {
  id: string;
  drawn: Drawn;
}

/** `nowMs`: on the server's clock. */
export function stackCard(stack: Stacked[], units: UnitSystem, nowMs: number, select: (one: Stacked) => void): CardContent {
  const rows = stack.map((one) => {
    const { flags, speedMps, receivedMs } = one.drawn;
    const tag = flags & REAL ? "call" : flags & DRILL ? "drill" : null;
    const moves = speedMps === null ? words.unknown : speed(speedMps, units);
    return el(
      "li",
      {},
      el(
        "button",
        { class: "row", attrs: { type: "button" }, on: { click: () => select(one) } },
        el("b", { text: one.id }),
        tag ? el("span", { class: `tag ${tag}`, text: words[tag] }) : null,
        el("span", { class: "soft", text: `${moves} · ${ago((nowMs - receivedMs) / 1000)}` }),
      ),
    );
  });
  return { title: words.stackTitle(stack.length), body: el("ol", { class: "rows" }, ...rows) };
}
