/** The incident that is open: facts, acts, who is near, and all that happened. */
import * as api from "../shared/api";
import type { Incident, IncidentWithHistory, Vehicle } from "../shared/api";
import { isLastKnown } from "../shared/call-place";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { describe, Problem } from "../shared/session";
import { strings } from "../shared/strings";
import { place } from "../shared/units";
import { Actions } from "./actions";
import { moment, running } from "./clock";
import { History } from "./history";
import { Near } from "./near";
import { signIcon, signOf, type Sign } from "./signs";
import { deedWords, kindWord, noticeStanding, placeWords, stateWord } from "./words";

const words = strings.console;

/** Shortest pause between two readings of the history, in ms: a moving vehicle changes its incident every second. */
const REREAD_MS = 1_000;
/** Pause before it is read again while the incident is not on disk. */
const DISK_MS = 3_000;

export interface DetailContext {
  now: () => number;
  close: () => void;
  done: (incident: IncidentWithHistory, said: string) => void;
  /** An incident was read, which may be one that the list does not have. */
  read: (incident: IncidentWithHistory) => void;
  showIncident: (incident: Incident) => void;
  showVehicle: (vehicle: Vehicle) => void;
  responders: (vehicles: Vehicle[]) => void;
}

export class Detail {
  readonly node: HTMLElement;
  private readonly fault = el("p", { class: "detail-fault", hidden: true, attrs: { role: "alert" } });
  private readonly body: HTMLElement;
  private readonly signBox = el("span", { class: "detail-sign" });
  private readonly title = el("h2", { id: "detail-title", attrs: { tabindex: -1 } });
  private readonly badge = el("span", { class: "badge" });
  private readonly drill = el("span", { class: "badge badge-drill", text: words.drill, hidden: true });
  private readonly clock = el("strong");
  private readonly clockBox = el("p", { class: "detail-clock" }, this.clock, " ", words.detail.waiting);
  private readonly show = el("button", { class: "link", text: words.detail.showOnMap, attrs: { type: "button" } });
  private readonly live = el("a", { text: words.detail.onLiveMap });
  private readonly facts = new Facts();
  private readonly actions: Actions;
  private readonly near: Near;
  private readonly history: History;
  private sign: Sign | null = null;
  private id: string | null = null;
  private incident: Incident | null = null;
  private recorded = true;
  private stale = false;
  private reading = false;
  private readAt = -Infinity;

  constructor(private readonly context: DetailContext) {
    this.actions = new Actions(context);
    this.near = new Near(context.showVehicle, context.responders);
    this.history = new History(context.now);
    const toMap = (): void => {
      if (this.incident) context.showIncident(this.incident);
    };
    this.show.addEventListener("click", toMap);
    this.facts.place.append(el("span", { class: "facts-links" }, this.show, this.live));
    this.body = el(
      "div",
      { class: "detail-body", hidden: true },
      el("div", { class: "detail-head" }, this.signBox, el("div", {}, this.title, el("div", { class: "detail-badges" }, this.badge, this.drill)), this.clockBox),
      this.actions.node,
      this.facts.node,
      this.near.node,
      this.history.node,
    );
    const back = el("button", { class: "detail-back", text: words.detail.back, attrs: { type: "button" }, on: { click: () => context.close() } });
    this.node = el("aside", { class: "detail", attrs: { "aria-label": words.detail.heading } }, back, this.fault, this.body);
  }

  /** Turns to an incident, whether the list has it or not. */
  turn(id: string | null, incident: Incident | null): void {
    this.id = id;
    this.incident = null;
    this.recorded = true;
    this.stale = true;
    this.readAt = -Infinity;
    this.history.show(null);
    this.near.turn(incident);
    setHidden(this.fault, true);
    setHidden(this.body, true);
    setAttr(this.node, "data-open", id !== null);
    if (incident) this.update(incident);
    this.tick();
  }

  focus(): void {
    this.title.focus({ preventScroll: true });
  }

  /** Takes the incident as it is now. */
  update(incident: Incident): void {
    if (incident.id !== this.id) return;
    if (this.incident && this.incident !== incident) this.stale = true;
    this.incident = incident;
    const now = this.context.now();
    const label = incident.test ? words.detail.drillLabel : words.detail.label;
    setHidden(this.body, false);
    setText(this.title, label(incident.vehicle_id));
    setText(this.badge, stateWord(incident));
    setAttr(this.live, "href", `/#${new URLSearchParams({ vehicle: incident.vehicle_id })}`);
    setHidden(this.drill, !incident.test);
    setAttr(this.body, "data-state", incident.state === "resolved" ? "resolved" : incident.acknowledged ? "handled" : "waiting");
    setAttr(this.body, "data-drill", incident.test);
    const sign = signOf(incident);
    if (sign !== this.sign) this.signBox.replaceChildren(signIcon(sign));
    this.sign = sign;
    setHidden(this.show, incident.position === null);
    this.facts.show(incident, this.recorded, now);
    this.actions.update(incident);
    this.near.turn(incident);
    setHidden(this.clockBox, incident.acknowledged !== null || incident.state === "resolved");
  }

  tick(): void {
    const { incident, context } = this;
    if (incident) setText(this.clock, running(context.now() - Date.parse(incident.opened_at)));
    this.near.tick();
    const since = performance.now() - this.readAt;
    if ((this.stale && since >= REREAD_MS) || (!this.recorded && since >= DISK_MS)) void this.read();
  }

  private async read(): Promise<void> {
    const { id } = this;
    if (id === null || this.reading) return;
    this.reading = true;
    this.stale = false;
    this.readAt = performance.now();
    try {
      const incident = await api.incident(id);
      if (id === this.id) this.take(incident);
    } catch (error) {
      if (id === this.id) this.fail(error);
    } finally {
      this.reading = false;
    }
  }

  private take(incident: IncidentWithHistory): void {
    if (incident.id !== this.id) {
      this.context.read(incident);
      return;
    }
    this.recorded = incident.recorded;
    setHidden(this.fault, true);
    this.history.show(incident);
    // The list may have newer news already; only an incident that it lacks is taken from here.
    if (!this.incident) this.update(incident);
    else this.facts.show(this.incident, this.recorded, this.context.now());
    this.context.read(incident);
  }

  private fail(error: unknown): void {
    const gone = error instanceof Problem && (error.status === 404 || error.status === 400);
    if (!gone) this.stale = true;
    setText(this.fault, gone ? words.detail.notFound : words.detail.failed(describe(error)));
    setHidden(this.fault, false);
  }
}

/** The facts as a list of terms. */
class Facts {
  readonly node = el("dl", { class: "facts" });
  readonly place = el("dd", { class: "facts-place" });
  private readonly where = el("span", { class: "facts-where" });
  private readonly trust = el("span", { class: "facts-trust" });
  private readonly values = new Map<string, { row: HTMLElement; value: HTMLElement }>();

  constructor() {
    this.place.append(this.where, this.trust);
    const row = el("div", {}, el("dt", { text: words.detail.place }), this.place);
    this.node.append(row);
    for (const name of ["told", "next", "acknowledged", "resolved", "opened", "kind", "alarms", "disk", "id"] as const) {
      const value = el("dd");
      const line = el("div", { class: `facts-${name}` }, el("dt", { text: words.detail[name] }), value);
      this.values.set(name, { row: line, value });
      this.node.append(line);
    }
  }

  show(incident: Incident, recorded: boolean, now: number): void {
    const { position, acknowledged, resolved, call } = incident;
    setText(this.where, position ? place(position.lat, position.lon) : words.place.unknown);
    setText(this.trust, position ? placeWords(incident, now) : "");
    setAttr(this.place, "data-known", position !== null && !isLastKnown(incident));
    this.set("told", noticeStanding(incident));
    const waits = !acknowledged && !resolved && call.escalation.next_at !== null;
    this.set("next", waits ? words.detail.nextTurn(moment(call.escalation.next_at ?? "", now)) : "");
    this.set("acknowledged", acknowledged ? deedWords(acknowledged, incident.opened_at, now) : "");
    this.set("resolved", resolved ? deedWords(resolved, incident.opened_at, now) : "");
    this.set("opened", moment(incident.opened_at, now));
    this.set("kind", kindWord(incident));
    const quiet = incident.quiet && incident.state !== "resolved" ? `. ${words.quiet}` : "";
    this.set("alarms", words.detail.alarmCount(incident.reports) + quiet);
    this.set("disk", recorded ? words.detail.recorded : words.detail.unrecorded);
    this.set("id", incident.id);
  }

  private set(name: string, text: string): void {
    const found = this.values.get(name);
    if (!found) return;
    setText(found.value, text);
    setHidden(found.row, text === "");
  }
}
