/** The nearest vehicles to a point: distances in a list, lines on the map. */
import { nearby, type Vehicle } from "../shared/api";
import { el } from "../shared/dom";
import { describe } from "../shared/session";
import { strings } from "../shared/strings";
import { ago } from "../shared/time";
import { distance, place, type UnitSystem } from "../shared/units";
import { visible } from "../shared/visible";
import type { Place } from "../shared/bounds";
import type { Card } from "./card";
import type { Marks } from "./marks";

const words = strings.map;
const COUNTS = [3, 5, 10, 25];

export interface NearestActions {
  select(id: string, place: Place): void;
  units(): UnitSystem;
}

export class Nearest {
  private count = 5;
  private turn = 0;

  constructor(
    private readonly card: Card,
    private readonly marks: Marks,
    private readonly actions: NearestActions,
  ) {}

  async show(from: Place, focus: boolean): Promise<void> {
    const turn = (this.turn += 1);
    const list = el("ol", { class: "rows" });
    const state = el("p", { class: "note", text: words.loading, attrs: { role: "status" } });
    const body = el(
      "div",
      {},
      el("p", { class: "soft", text: words.nearOf(place(from[1], from[0])) }),
      this.chooser(from),
      state,
      list,
    );
    this.card.show({ title: words.nearTitle, body, closed: () => this.close(turn) }, focus);
    this.marks.near({ from, to: [] });
    try {
      const answer = await nearby(from[1], from[0], { k: this.count });
      if (turn !== this.turn) return;
      const none = answer.features.length === 0 ? words.nearNone : "";
      state.textContent = [none, answer.partial ? strings.common.partial : ""].filter(Boolean).join(" ");
      state.hidden = state.textContent === "";
      list.replaceChildren(...answer.features.map((found) => this.row(found)));
      this.draw(from, answer.features);
    } catch (error) {
      state.textContent = describe(error);
    }
  }

  private draw(from: Place, found: Vehicle[]): void {
    const units = this.actions.units();
    const to = found.map((one) => ({
      place: one.geometry.coordinates as Place,
      label: visible(`${one.id} · ${distance(one.properties.distance_m ?? 0, units)}`),
    }));
    this.marks.near({ from, to });
  }

  private row(found: Vehicle): HTMLElement {
    const away = distance(found.properties.distance_m ?? 0, this.actions.units());
    const select = () => this.actions.select(found.id, found.geometry.coordinates);
    return el(
      "li",
      {},
      el(
        "button",
        { class: "row", attrs: { type: "button" }, on: { click: select } },
        el("b", { text: found.id }),
        el("span", { text: away }),
        el("span", { class: "soft", text: ago(found.properties.age_s) }),
      ),
    );
  }

  private chooser(from: Place): HTMLElement {
    const select = el(
      "select",
      { on: { change: () => this.choose(Number(select.value), from) } },
      ...COUNTS.map((count) => el("option", { text: String(count), attrs: { value: count, selected: count === this.count } })),
    );
    return el("label", { class: "chooser" }, words.nearCount, select);
  }

  private choose(count: number, from: Place): void {
    this.count = count;
    void this.show(from, true);
  }

  private close(turn: number): void {
    // The same card with another count has drawn its own lines by now.
    if (turn !== this.turn) return;
    this.turn += 1;
    this.marks.near(null);
  }
}
