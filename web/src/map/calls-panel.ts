/** Calls for help in words: the button that counts them, the list behind it, and the voice for screen readers. */
import { Announcer } from "../shared/announce";
import type { Incident } from "../shared/api";
import { placeStanding } from "../shared/call-place";
import { el, icon, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { ago } from "../shared/time";
import type { Card } from "./card";
import { icons } from "./icons";

const words = strings.map;

export class CallsPanel {
  readonly button: HTMLButtonElement;
  /** Regions that screen readers follow: real calls at once, the rest when there is time. */
  readonly voices: HTMLElement;
  private readonly label = el("span");
  private readonly rows = el("ol", { class: "rows" });
  private readonly announcer = new Announcer();
  private readonly kept = new Map<string, Row>();
  private calls: Incident[] = [];

  constructor(
    private readonly card: Card,
    private readonly select: (incident: Incident) => void,
    private readonly nowMs: () => number,
  ) {
    this.button = el(
      "button",
      { class: "calls", hidden: true, attrs: { type: "button" }, on: { click: () => this.open(true) } },
      icon(icons.bell),
      this.label,
    );
    this.voices = el("div", { id: "voices" });
    this.announcer.mount(this.voices);
  }

  show(calls: Incident[]): void {
    this.calls = calls;
    const real = calls.filter((one) => !one.test).length;
    const drills = calls.length - real;
    this.button.hidden = calls.length === 0;
    this.button.classList.toggle("real", real > 0);
    const parts = [real > 0 ? words.calls(real) : "", drills > 0 ? words.drills(drills) : ""].filter((part) => part !== "");
    setText(this.label, parts.join(" · "));
    document.title = words.pageTitle(real);
    this.tick();
  }

  /** Writes the list anew where it is shown: its ages grow. */
  tick(): void {
    if (this.card.shown?.body === this.body) this.fill();
  }

  say(text: string, loud: boolean): void {
    if (loud) this.announcer.alert(text);
    else this.announcer.say(text);
  }

  open(focus: boolean): void {
    this.fill();
    this.card.show({ title: words.callsTitle, body: this.body }, focus);
  }

  private readonly body = el(
    "div",
    {},
    this.rows,
    el("p", { class: "actions" }, el("a", { text: words.openConsole, attrs: { href: "/incidents" } })),
  );

  /** Rows that are there stay the same nodes, so that the focus stays where it is. */
  private fill(): void {
    const still = new Set(this.calls.map((one) => one.id));
    const focused = [...this.kept].find(([, row]) => row.node.contains(document.activeElement));
    for (const [id, { node }] of this.kept) {
      if (still.has(id)) continue;
      node.remove();
      this.kept.delete(id);
    }
    for (const [at, call] of this.calls.entries()) {
      const row = this.kept.get(call.id) ?? new Row(call.id, () => this.press(call.id));
      this.kept.set(call.id, row);
      row.show(call, this.nowMs());
      if (this.rows.children[at] !== row.node) this.rows.insertBefore(row.node, this.rows.children[at] ?? null);
    }
    // A row that goes, or has moved, must not take the focus with it.
    if (focused && !this.rows.contains(document.activeElement)) this.refocus(focused[0]);
  }

  private refocus(id: string): void {
    const row = this.kept.get(id) ?? [...this.kept.values()][0];
    if (row) row.button.focus({ preventScroll: true });
    else this.card.node.querySelector<HTMLElement>("h2")?.focus();
  }

  private press(id: string): void {
    const call = this.calls.find((one) => one.id === id);
    if (call) this.select(call);
  }
}

/** One call in the list. */
class Row {
  readonly node: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly vehicle = el("b");
  private readonly tag = el("span");
  private readonly about = el("span", { class: "soft about" });

  constructor(id: string, press: () => void) {
    this.button = el("button", { class: "row", attrs: { type: "button" }, on: { click: press } }, this.vehicle, this.tag, this.about);
    this.node = el("li", { data: { id } }, this.button);
  }

  show(call: Incident, nowMs: number): void {
    const called = words.called(ago((nowMs - Date.parse(call.raised_at)) / 1000));
    const where = whereabouts(call);
    setText(this.vehicle, call.vehicle_id);
    this.tag.className = `tag ${call.test ? "drill" : "call"}`;
    setText(this.tag, call.test ? words.drill : words.call);
    setText(this.about, `${called} · ${words.callState[call.state]}${where}`);
  }
}

function whereabouts(call: Incident): string {
  switch (placeStanding(call)) {
    case "none":
      return ` · ${words.callUnplaced}`;
    case "lastKnown":
      return ` · ${words.callLastKnown}`;
    default:
      return "";
  }
}
