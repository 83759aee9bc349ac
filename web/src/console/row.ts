/** One incident in the list. */
import type { Incident } from "../shared/api";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { knownWho, mayDecide } from "../shared/session";
import { strings } from "../shared/strings";
import { isUntold } from "./arrange";
import { moment, running } from "./clock";
import type { View } from "./keyed";
import { signIcon, signOf, type Sign } from "./signs";
import { noticeStanding, standing, stateWord, whereWords } from "./words";

const words = strings.console;

/** Time for which a refusal stays at its row, in ms. */
const FAULT_MS = 60_000;

/** Time after which a row is written anew although nothing happened, in ms: a time of yesterday needs its date. */
const STALE_MS = 60_000;

export interface RowContext {
  now: () => number;
  selected: () => string | null;
  open: (id: string) => void;
  acknowledge: (id: string) => Promise<string | null>;
}

export class Row implements View<Incident> {
  readonly node: HTMLLIElement;
  readonly openButton: HTMLButtonElement;
  private readonly ackButton: HTMLButtonElement;
  private readonly signBox = el("span", { class: "row-sign" });
  private readonly vehicle = el("span", { class: "row-vehicle" });
  private readonly badge = el("span", { class: "badge" });
  private readonly drill = el("span", { class: "badge badge-drill", text: words.drill, hidden: true });
  private readonly where = el("span", { class: "row-line" });
  private readonly since = el("span");
  private readonly told = el("span", { class: "row-line row-told" });
  private readonly quiet = el("span", { class: "row-line row-quiet", text: words.quiet, hidden: true });
  private readonly same = el("span", { class: "row-line row-same", hidden: true });
  private readonly clock = el("span", { class: "row-clock", attrs: { "aria-hidden": "true" } });
  private readonly fault = el("p", { class: "row-fault", hidden: true, attrs: { role: "alert" } });
  private faultAt = 0;
  private shown: Incident | null = null;
  private shownAt = 0;
  private sign: Sign | null = null;
  private incident: Incident;

  constructor(
    incident: Incident,
    private readonly context: RowContext,
  ) {
    this.incident = incident;
    const since = el("span", { class: "row-line" }, el("span", { class: "unseen", text: words.row.called }), " ", this.since);
    this.openButton = el(
      "button",
      { class: "row-open", attrs: { type: "button" }, on: { click: () => context.open(this.incident.id) } },
      this.signBox,
      el("span", { class: "row-main" }, this.headline(), this.where, since, this.told, this.quiet, this.same),
    );
    this.ackButton = el("button", {
      class: "row-ack primary",
      text: words.row.acknowledge,
      attrs: { type: "button" },
      on: { click: () => void this.acknowledge() },
    });
    this.node = el("li", { class: "row", data: { id: incident.id } }, this.openButton, this.ackButton, this.fault);
  }

  update(incident: Incident): void {
    const now = this.context.now();
    if (incident === this.shown && now - this.shownAt < STALE_MS) return;
    this.incident = incident;
    this.shown = incident;
    this.shownAt = now;
    setText(this.vehicle, incident.vehicle_id);
    setText(this.badge, stateWord(incident));
    setHidden(this.drill, !incident.test);
    setText(this.where, whereWords(incident));
    setText(this.since, moment(incident.opened_at, now));
    setText(this.told, this.toldText(now));
    setHidden(this.quiet, !incident.quiet || incident.state === "resolved");
    setAttr(this.node, "data-state", incident.state === "resolved" ? "resolved" : incident.acknowledged ? "handled" : "waiting");
    setAttr(this.node, "data-drill", incident.test);
    setAttr(this.node, "data-untold", isUntold(incident));
    this.updateSign(incident);
    this.updateAck(incident);
    this.select();
    this.tick();
  }

  /** Tells which of the vehicle's emergencies in its group this is; nothing where it is the only one. */
  among(place: number, of: number): void {
    setText(this.same, words.sameVehicle(place, of));
    setHidden(this.same, of <= 1);
  }

  /** Marks the row where it is the selected one. */
  select(): void {
    setAttr(this.openButton, "aria-current", this.context.selected() === this.incident.id ? "true" : null);
  }

  tick(): void {
    const { incident } = this;
    const waits = !incident.acknowledged && incident.state !== "resolved";
    setHidden(this.clock, !waits);
    if (waits) setText(this.clock, running(this.context.now() - Date.parse(incident.opened_at)));
    if (!this.fault.hidden && performance.now() - this.faultAt > FAULT_MS) setHidden(this.fault, true);
  }

  /** Acknowledges the incident, and tells at the row itself if that was refused. */
  async acknowledge(): Promise<void> {
    if (this.ackButton.hidden || this.ackButton.getAttribute("aria-busy") === "true") return;
    setAttr(this.ackButton, "aria-busy", "true");
    const refused = await this.context.acknowledge(this.incident.id);
    setAttr(this.ackButton, "aria-busy", null);
    this.faultAt = performance.now();
    setText(this.fault, refused ?? "");
    setHidden(this.fault, refused === null);
  }

  private headline(): HTMLElement {
    const name = el("span", { class: "row-name" }, this.vehicle, " ", this.badge, " ", this.drill);
    return el("span", { class: "row-head" }, name, this.clock);
  }

  private toldText(now: number): string {
    const { incident } = this;
    return incident.acknowledged || incident.resolved ? standing(incident, now) : noticeStanding(incident);
  }

  private updateSign(incident: Incident): void {
    const sign = signOf(incident);
    if (sign === this.sign) return;
    this.sign = sign;
    this.signBox.replaceChildren(signIcon(sign));
  }

  private updateAck(incident: Incident): void {
    const offered = incident.state !== "resolved" && !incident.acknowledged && mayDecide(knownWho());
    const name = incident.test ? words.row.acknowledgeDrill : words.row.acknowledgeNamed;
    setAttr(this.ackButton, "aria-label", name(incident.vehicle_id));
    if (!offered && document.activeElement === this.ackButton) this.openButton.focus({ preventScroll: true });
    setHidden(this.ackButton, !offered);
  }
}
