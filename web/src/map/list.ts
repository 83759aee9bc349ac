/** The table beside the map: the same vehicles as the view, for those who read rather than look. */
import { vehiclesIn, type Vehicle } from "../shared/api";
import { el, icon, setHidden, setText } from "../shared/dom";
import { describe } from "../shared/session";
import { strings } from "../shared/strings";
import { age } from "../shared/time";
import { heading, speed, type UnitSystem } from "../shared/units";
import { apiBox, type Bounds, type Place } from "../shared/bounds";
import { SILENT_S } from "./details";
import { icons } from "./icons";
import { FILTERS, type Filter } from "./link";

const words = strings.map;
const ROUND_MS = 2_000;
/** Rows that anybody would read; what is beyond is said. */
const ROWS_MAX = 200;
/** Vehicles that are asked for: enough for the rows when a filter leaves most of them out. */
const ASKED_MAX = 1_000;

export interface ListActions {
  view(): Bounds;
  units(): UnitSystem;
  select(id: string, place: Place): void;
  filter(filter: Filter): void;
  closed(): void;
}

interface Row {
  node: HTMLTableRowElement;
  cells: HTMLElement[];
}

export class List {
  readonly node: HTMLElement;
  private readonly body = el("tbody");
  private readonly state = el("p", { class: "soft", attrs: { role: "status" } });
  private readonly missing = el("p", { class: "soft", text: strings.common.partial, hidden: true, attrs: { role: "status" } });
  private readonly select: HTMLSelectElement;
  private readonly rows = new Map<string, Row>();
  private readonly chooser: HTMLElement;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private turn = 0;

  constructor(private readonly actions: ListActions) {
    const { columns } = words;
    this.select = el(
      "select",
      { on: { change: () => actions.filter(this.select.value as Filter) } },
      ...FILTERS.map((filter) => el("option", { text: words.filters[filter], attrs: { value: filter } })),
    );
    this.chooser = el("label", { class: "chooser" }, words.filter, this.select);
    const close = el(
      "button",
      {
        class: "plain",
        attrs: { type: "button", "aria-label": words.close, title: words.close },
        on: { click: () => this.close() },
      },
      icon(icons.close),
    );
    const head = el(
      "tr",
      {},
      ...[columns.id, columns.age, columns.speed, columns.heading].map((name) =>
        el("th", { text: name, attrs: { scope: "col" } }),
      ),
    );
    this.node = el(
      "aside",
      { id: "list", class: "list", hidden: true, attrs: { "aria-labelledby": "list-title" } },
      el("header", { class: "card-head" }, el("h2", { id: "list-title", text: words.listTitle, attrs: { tabindex: -1 } }), close),
      this.chooser,
      this.state,
      this.missing,
      el(
        "div",
        { class: "scroll", attrs: { tabindex: 0, role: "region", "aria-labelledby": "list-title" } },
        el("table", {}, el("thead", {}, head), this.body),
      ),
    );
    document.addEventListener("visibilitychange", () => this.hurry());
  }

  /** Leaves out speed and heading, and the choice by them, where the server does not tell them. */
  leaveOutMovement(): void {
    setHidden(this.chooser, true);
    this.node.classList.add("without-movement");
  }

  get open(): boolean {
    return !this.node.hidden;
  }

  show(focus: boolean): void {
    this.node.hidden = false;
    if (focus) this.node.querySelector<HTMLElement>("h2")?.focus();
    this.hurry();
  }

  close(): void {
    const hadFocus = this.node.contains(document.activeElement);
    this.node.hidden = true;
    this.stop();
    if (hadFocus) document.querySelector<HTMLElement>("[data-tool=list]")?.focus();
    this.actions.closed();
  }

  setFilter(filter: Filter): void {
    this.select.value = filter;
    this.hurry();
  }

  /** Asks anew, as after the view has changed. */
  hurry(): void {
    this.stop();
    if (this.open && !document.hidden) void this.round(this.turn);
  }

  private stop(): void {
    this.turn += 1;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private async round(turn: number): Promise<void> {
    try {
      const answer = await vehiclesIn(apiBox(this.actions.view()), ASKED_MAX);
      if (turn !== this.turn) return;
      this.fill(answer.features, answer.truncated);
      setHidden(this.missing, !answer.partial);
    } catch (error) {
      if (turn !== this.turn) return;
      setText(this.state, describe(error));
    }
    this.timer = setTimeout(() => this.hurry(), ROUND_MS);
  }

  private fill(all: Vehicle[], truncated: boolean): void {
    const filter = this.select.value as Filter;
    const chosen = all.filter((one) => passes(one, filter)).sort((one, other) => order.compare(one.id, other.id));
    const shown = chosen.slice(0, ROWS_MAX);
    const capped = truncated || chosen.length > shown.length;
    setText(
      this.state,
      capped ? words.listCapped(shown.length) : shown.length === 0 ? words.listNone : words.listCount(shown.length),
    );
    const still = new Set(shown.map((one) => one.id));
    for (const [id, row] of this.rows) {
      if (still.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    shown.forEach((vehicle, at) => this.place(vehicle, at));
  }

  /** Rows that are there stay the same nodes, so that the focus stays where it is. */
  private place(vehicle: Vehicle, at: number): void {
    const row = this.rows.get(vehicle.id) ?? this.newRow(vehicle.id);
    const { age_s, speed_mps, heading_deg, emergency_flag } = vehicle.properties;
    const texts = [
      age(age_s),
      speed_mps == null ? "–" : speed(speed_mps, this.actions.units()),
      heading_deg == null ? "–" : heading(heading_deg),
    ];
    texts.forEach((text, cell) => setText(row.cells[cell]!, text));
    setText(row.cells[3]!, emergency_flag ? words.callFlag : "");
    row.node.classList.toggle("silent", age_s > SILENT_S);
    row.node.dataset["place"] = vehicle.geometry.coordinates.join(" ");
    if (this.body.children[at] !== row.node) this.body.insertBefore(row.node, this.body.children[at] ?? null);
  }

  private newRow(id: string): Row {
    const cells = [el("td"), el("td"), el("td"), el("span", { class: "flag" })];
    const select = () => {
      const [lon = 0, lat = 0] = (node.dataset["place"] ?? "").split(" ").map(Number);
      this.actions.select(id, [lon, lat]);
    };
    const name = el(
      "th",
      { attrs: { scope: "row" } },
      el("button", { class: "link", text: id, attrs: { type: "button" }, on: { click: select } }),
      " ",
      cells[3],
    );
    const node = el("tr", {}, name, ...cells.slice(0, 3));
    const row = { node, cells };
    this.rows.set(id, row);
    return row;
  }
}

const order = new Intl.Collator(undefined, { numeric: true });

/** The rule of the map's filter, for a row. */
export function passes(vehicle: Vehicle, filter: Filter): boolean {
  const silent = vehicle.properties.age_s >= SILENT_S;
  const moving = !silent && (vehicle.properties.speed_mps ?? 0) >= 1;
  return filter === "all" || (filter === "silent" ? silent : filter === "moving" ? moving : !silent && !moving);
}
