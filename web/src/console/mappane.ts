/** The place of the map: loads it after the list is up, and says so where it cannot be drawn. */
import type { Incident, Vehicle } from "../shared/api";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import type { MapView } from "./mapview";
import { signIcon, type Sign } from "./signs";

const words = strings.console.map;

/** Pause within which changes are drawn together, in ms: each drawing hands all emergencies to the map's own worker. */
const DRAW_MS = 250;

export class MapPane {
  readonly node: HTMLElement;
  private readonly holder = el("div", { class: "map", id: "map" });
  private readonly fault = el("p", { class: "map-fault", hidden: true });
  private readonly unplaced = el("p", { class: "map-unplaced", hidden: true });
  private readonly toggle = el("button", { class: "map-toggle", attrs: { type: "button", "aria-controls": "map", "aria-expanded": "true" }, text: words.hide });
  private readonly fitButton = el("button", { class: "map-fit", text: words.fit, attrs: { type: "button" } });
  private view: MapView | null = null;
  private incidents: Incident[] = [];
  private selected: Incident | null = null;
  private responders: Vehicle[] = [];
  /** True until the person moves the map: before that it shows all there is. */
  private follows = true;
  private framed = "";
  private due: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly context: { open: (id: string) => void }) {
    this.toggle.addEventListener("click", () => this.fold());
    this.fitButton.addEventListener("click", () => {
      this.follows = true;
      this.view?.fit();
    });
    const tools = el("div", { class: "map-tools" }, this.fitButton, this.toggle);
    this.node = el("section", { class: "map-pane", attrs: { "aria-label": words.label } }, this.holder, tools, this.fault, this.unplaced, legend());
  }

  async start(): Promise<void> {
    try {
      const { openMapView } = await import("./mapview");
      this.view = await openMapView(this.holder, {
        open: (id) => this.context.open(id),
        moved: () => {
          this.follows = false;
        },
      });
    } catch (error) {
      setText(this.fault, words.failed(error instanceof Error ? error.message : String(error)));
      setHidden(this.fault, false);
      setAttr(this.node, "data-failed", true);
      return;
    }
    this.view.showResponders(this.responders);
    this.show(this.incidents, this.selected);
    if (this.selected) this.view.goTo(this.selected);
  }

  show(incidents: Incident[], selected: Incident | null): void {
    this.incidents = incidents;
    this.selected = selected;
    const unplaced = incidents.filter((one) => !one.position && one.state !== "resolved" && !one.test).length;
    setText(this.unplaced, words.noPlace(unplaced));
    setHidden(this.unplaced, unplaced === 0);
    this.due ??= setTimeout(() => this.draw(), DRAW_MS);
  }

  private draw(): void {
    this.due = null;
    this.view?.show(this.incidents, this.selected);
    if (!this.selected) this.frame();
  }

  showResponders(vehicles: Vehicle[]): void {
    const firsts = this.responders.length === 0 && vehicles.length > 0;
    this.responders = vehicles;
    this.view?.showResponders(vehicles);
    // Once, so that the map does not move under the eyes with every report.
    if (firsts && this.selected && this.follows) this.view?.goTo(this.selected);
  }

  /** The place for it has changed; told before it is moved, since a browser tells it only afterwards. */
  resize(): void {
    this.view?.resize();
  }

  goTo(incident: Incident): void {
    this.view?.goTo(incident);
  }

  goToVehicle(vehicle: Vehicle): void {
    this.view?.goToVehicle(vehicle);
  }

  /** Shows all emergencies when others are there than before, as long as the map is not the person's own. */
  private frame(): void {
    const open = this.incidents.filter((one) => one.position && one.state !== "resolved");
    const now = open.map((one) => one.id).sort().join(" ");
    if (!this.view || !this.follows || now === this.framed) return;
    this.framed = now;
    this.view.fit();
  }

  private fold(): void {
    const folded = this.node.getAttribute("data-folded") === null;
    setAttr(this.node, "data-folded", folded);
    setAttr(this.toggle, "aria-expanded", folded ? "false" : "true");
    setText(this.toggle, folded ? words.show : words.hide);
    if (!folded) this.view?.resize();
  }
}

function legend(): HTMLElement {
  const line = (sign: Sign, text: string): HTMLElement => el("li", {}, signIcon(sign), text);
  return el(
    "ul",
    { class: "legend", attrs: { "aria-label": words.legend } },
    line("waiting", words.legendWaiting),
    line("handled", words.legendHandled),
    line("drill", words.legendDrill),
    el("li", {}, el("span", { class: "legend-near", attrs: { "aria-hidden": "true" } }), words.legendResponder),
  );
}
