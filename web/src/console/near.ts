/** The nearest vehicles that could go to an incident, read anew while it is looked at. */
import * as api from "../shared/api";
import { isLastKnown } from "../shared/call-place";
import type { Incident, Vehicle } from "../shared/api";
import { el, setHidden, setText } from "../shared/dom";
import { describe, isCancelled } from "../shared/session";
import { strings } from "../shared/strings";
import { ago } from "../shared/time";
import { distance, heading, speed } from "../shared/units";
import { readUnits } from "../shared/preferences";
import { KeyedList, type View } from "./keyed";

const words = strings.console.near;
const COUNT = 5;
const REREAD_MS = 5_000;
/** Below this speed in m/s a vehicle counts as standing: fixes of a parked one jump about that much. */
const STANDING_MPS = 0.7;

export class Near {
  readonly node: HTMLElement;
  private readonly heading = el("h3", { id: "near-heading" });
  private readonly hint = el("p", { class: "soft" });
  private readonly items = el("ol", { class: "near" });
  private readonly list: KeyedList<Vehicle>;
  private incident: Incident | null = null;
  private readAt = -Infinity;
  private cut: AbortController | null = null;

  constructor(
    show: (vehicle: Vehicle) => void,
    private readonly found: (vehicles: Vehicle[]) => void,
  ) {
    this.node = el("section", { class: "near-part", attrs: { "aria-labelledby": "near-heading" } }, this.heading, this.items, this.hint);
    this.list = new KeyedList(
      this.items,
      (vehicle) => vehicle.id,
      () => new NearView(show),
    );
  }

  /** Turns to an incident; `null` for none. */
  turn(incident: Incident | null): void {
    const moved = incident?.id !== this.incident?.id || placeKey(incident) !== placeKey(this.incident);
    if (incident?.id !== this.incident?.id) this.show([], "");
    this.incident = incident;
    setText(this.heading, incident && isLastKnown(incident) ? words.headingLastKnown : words.heading);
    if (moved) this.readAt = -Infinity;
    if (incident && !incident.position) this.show([], words.noPlace);
  }

  tick(): void {
    const { incident } = this;
    if (!incident?.position || incident.state === "resolved" || performance.now() - this.readAt < REREAD_MS) return;
    this.readAt = performance.now();
    void this.read(incident);
  }

  private async read(incident: Incident): Promise<void> {
    this.cut?.abort();
    const cut = new AbortController();
    this.cut = cut;
    try {
      const answer = await api.responders(incident.id, { k: COUNT }, { signal: cut.signal });
      if (cut.signal.aborted || incident.id !== this.incident?.id) return;
      const hint = answer.features.length === 0 ? words.none : answer.truncated ? words.truncated : "";
      this.show(answer.features, [hint, answer.partial ? strings.common.partial : ""].filter(Boolean).join(" "));
    } catch (error) {
      if (isCancelled(error) || incident.id !== this.incident?.id) return;
      this.say(words.failed(describe(error)));
    }
  }

  private show(vehicles: Vehicle[], hint: string): void {
    this.list.show(vehicles);
    setHidden(this.items, vehicles.length === 0);
    this.say(hint);
    this.found(vehicles);
  }

  private say(hint: string): void {
    setText(this.hint, hint);
    setHidden(this.hint, hint === "");
  }
}

class NearView implements View<Vehicle> {
  private vehicle: Vehicle | null = null;
  private readonly name = el("span", { class: "near-name" });
  private readonly far = el("span", { class: "near-far" });
  private readonly more = el("span", { class: "near-more" });
  readonly node: HTMLLIElement;

  constructor(show: (vehicle: Vehicle) => void) {
    const press = (): void => {
      if (this.vehicle) show(this.vehicle);
    };
    const button = el("button", { attrs: { type: "button" }, on: { click: press } }, this.name, this.far, this.more);
    this.node = el("li", {}, button);
  }

  update(vehicle: Vehicle): void {
    this.vehicle = vehicle;
    setText(this.name, vehicle.id);
    setText(this.far, distance(vehicle.properties.distance_m ?? 0, readUnits()));
    setText(this.more, about(vehicle));
  }
}

function about({ properties }: Vehicle): string {
  const { speed_mps: mps, heading_deg: degrees, age_s: seconds } = properties;
  const seen = words.seen(ago(seconds));
  if (mps === null || mps === undefined) return seen;
  if (mps < STANDING_MPS) return `${words.standing}, ${seen}`;
  const way = degrees === null || degrees === undefined ? "" : ` ${heading(degrees)}`;
  return `${speed(mps, readUnits())}${way}, ${seen}`;
}

function placeKey(incident: Incident | null): string {
  return incident?.position ? `${incident.position.lat}/${incident.position.lon}` : "";
}
