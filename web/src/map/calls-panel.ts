/** Calls for help in words: the button that counts them, the list behind it, and the voice for screen readers. */
import type { Incident } from "../shared/api";
import { el, icon, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { age } from "../shared/time";
import type { Card } from "./card";
import { icons } from "./icons";

const words = strings.map;

export class CallsPanel {
  readonly button: HTMLButtonElement;
  /** Regions that screen readers follow: real calls at once, the rest when there is time. */
  readonly voices: HTMLElement;
  private readonly label = el("span");
  private readonly rows = el("ol", { class: "rows" });
  private readonly loud = el("div", { attrs: { role: "alert" } });
  private readonly quiet = el("div", { attrs: { role: "status" } });
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
    this.voices = el("div", { class: "unseen", id: "voices" }, this.loud, this.quiet);
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
    if (this.card.shown?.body === this.body) this.fill();
  }

  say(text: string, loud: boolean): void {
    setText(loud ? this.loud : this.quiet, text);
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

  private fill(): void {
    this.rows.replaceChildren(...this.calls.map((call) => this.row(call)));
  }

  private row(call: Incident): HTMLElement {
    const since = words.callSince(age((this.nowMs() - Date.parse(call.raised_at)) / 1000));
    const where = call.position ? "" : ` · ${words.callUnplaced}`;
    return el(
      "li",
      {},
      el(
        "button",
        { class: "row", attrs: { type: "button" }, on: { click: () => this.select(call) } },
        el("b", { text: call.vehicle_id }),
        el("span", { class: `tag ${call.test ? "drill" : "call"}`, text: call.test ? words.drill : words.call }),
        el("span", { class: "soft", text: `${since} · ${words.callState[call.state]}${where}` }),
      ),
    );
  }
}
