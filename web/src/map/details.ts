/** What is known about the selected vehicle, in words. The nodes stay, so that a reader keeps the place. */
import { el, setHidden, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { ago, bothTimes, span } from "../shared/time";
import { distance, heading, place, speed, type UnitSystem } from "../shared/units";
import { isApproximate, type Oddity } from "../shared/api";
import type { Selected } from "./selection";

const words = strings.map;
/** Age in seconds from which a vehicle is drawn hollow. */
export const SILENT_S = 60;

export interface DetailsActions {
  follow(): void;
  goThere(): void;
  copyLink(): Promise<void>;
}

export class Details {
  readonly node: HTMLElement;
  private readonly rows = new Map<string, HTMLElement[]>();
  private readonly approximate = el("p", { class: "note", hidden: true, text: words.approximateWhy });
  private readonly note = el("p", { class: "note warn", hidden: true });
  private readonly tag = el("p", { class: "tag call", hidden: true });
  private readonly odd = el("ul", { class: "odd", hidden: true });
  private readonly followButton: HTMLButtonElement;

  constructor(actions: DetailsActions) {
    const copy = el("button", { text: words.copyLink, attrs: { type: "button" } });
    copy.addEventListener("click", () => void actions.copyLink().then(() => setText(copy, words.copied)));
    this.followButton = el(
      "button",
      { attrs: { type: "button", "aria-pressed": "false" }, on: { click: () => actions.follow() } },
      words.follow,
      " ",
      el("kbd", { text: "F" }),
    );
    this.node = el(
      "div",
      { class: "details" },
      this.tag,
      this.note,
      this.approximate,
      el(
        "dl",
        {},
        ...(["report", "speed", "heading", "place", "delay", "trail"] as const).flatMap((name) => this.row(name, words[name])),
      ),
      this.odd,
      el(
        "div",
        { class: "actions" },
        this.followButton,
        el("button", { text: words.goThere, attrs: { type: "button" }, on: { click: () => actions.goThere() } }),
        copy,
      ),
    );
  }

  /** `nowMs`: on the server's clock. */
  show(selected: Selected, tag: "call" | "drill" | null, follows: boolean, units: UnitSystem, nowMs: number): void {
    this.showTag(tag);
    this.followButton.setAttribute("aria-pressed", String(follows));
    const { vehicle } = selected;
    if (selected.gone) return this.warn(tag === null ? words.deleted : words.callUnknown);
    if (!vehicle) return this.warn(selected.fault ?? words.loading);
    const { properties } = vehicle;
    const approximate = isApproximate(vehicle);
    setHidden(this.approximate, !approximate);
    for (const name of ["speed", "heading"]) for (const node of this.rows.get(name) ?? []) setHidden(node, approximate);
    const atMs = Date.parse(properties.time);
    const old = (nowMs - atMs) / 1000;
    this.warn(selected.fault ?? (old > SILENT_S ? words.old(span(old)) : null));
    this.set("report", `${ago(old)} · ${bothTimes(atMs)}`);
    this.set("speed", properties.speed_mps == null ? words.unknown : speed(properties.speed_mps, units));
    this.set("heading", properties.heading_deg == null ? words.unknown : heading(properties.heading_deg));
    this.set("place", place(vehicle.geometry.coordinates[1], vehicle.geometry.coordinates[0], approximate ? 3 : 5));
    this.set("delay", words.delayNone);
    const metres = length(selected.trail);
    this.set("trail", words.trailOf(metres, distance(metres, units)));
    this.showOdd(properties.odd ?? []);
  }

  private row(name: string, label: string): HTMLElement[] {
    const pair = [el("dt", { text: label }), el("dd", {})];
    this.rows.set(name, pair);
    return pair;
  }

  private set(name: string, value: string): void {
    const node = this.rows.get(name)?.[1];
    if (node) setText(node, value);
  }

  private warn(why: string | null): void {
    setHidden(this.note, why === null);
    setText(this.note, why ?? "");
  }

  private showTag(tag: "call" | "drill" | null): void {
    setHidden(this.tag, tag === null);
    this.tag.className = `tag ${tag ?? "call"}`;
    setText(this.tag, tag === "drill" ? words.drill : words.call);
  }

  private showOdd(odd: Oddity[]): void {
    setHidden(this.odd, odd.length === 0);
    const text = odd.map((one) => words.oddSince(words.oddWords[one.what] ?? one.what, one.reports));
    if (this.odd.dataset["text"] === text.join("|")) return;
    this.odd.dataset["text"] = text.join("|");
    this.odd.replaceChildren(...text.map((line) => el("li", { text: `${words.odd}: ${line}` })));
  }
}

/** Metres along a trail. */
export function length(trail: readonly (readonly [number, number])[]): number {
  let sum = 0;
  for (let at = 1; at < trail.length; at += 1) {
    const [one, other] = [trail[at - 1]!, trail[at]!];
    const east = (((other[0] - one[0] + 540) % 360) - 180) * Math.cos((other[1] * Math.PI) / 180);
    sum += Math.hypot(east, other[1] - one[1]) * 111_195;
  }
  return sum;
}
