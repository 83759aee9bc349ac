/**
 * Calls for help that cannot be proved: a list above the emergencies, hidden while it is empty. A person may raise one as an
 * emergency; nothing else comes of them.
 */
import * as api from "../shared/api";
import type { Incident, UnprovenCall } from "../shared/api";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { describe, knownWho, mayDecide, Problem } from "../shared/session";
import { strings } from "../shared/strings";
import { ago } from "../shared/time";
import { place } from "../shared/units";
import { KeyedList, type View } from "./keyed";
import { needPerson } from "./person";

const words = strings.console.unproven;
const REREAD_MS = 5_000;
/** Pause after an answer by which there is no such list for this person: there will not be one soon. */
const REFUSED_MS = 60_000;
/** Time for which an answer to a deed is shown. */
const ANSWER_MS = 20_000;
/** Calls that are shown until the person asks for all: of a flood of forged ones, these are worth the look first. */
export const SHOWN_MAX = 20;

export interface UnprovenContext {
  raised: (incident: Incident, said: string) => void;
  news: (said: string) => void;
}

export class Unproven {
  readonly node: HTMLElement;
  private readonly title = el("h2", { id: "unproven-heading" });
  private readonly items = el("ul", { class: "unproven-list" });
  private readonly more = el("span", { class: "soft" });
  private readonly allButton = el("button", { attrs: { type: "button" }, on: { click: () => this.turn() } });
  private readonly foot = el("p", { hidden: true }, this.more, " ", this.allButton);
  private readonly answer = el("p", { class: "act-answer", hidden: true });
  private readonly list: KeyedList<UnprovenCall>;
  private known: Set<number> | null = null;
  private calls: UnprovenCall[] = [];
  /** The person asked for all; ends with the flood. */
  private all = false;
  private askAt = -Infinity;
  private answerEnds = -Infinity;
  private asking = false;
  private nowMs = 0;

  constructor(private readonly context: UnprovenContext) {
    this.list = new KeyedList(
      this.items,
      (call) => String(call.n),
      () => new CallView((call) => void this.raise(call), () => this.nowMs),
    );
    this.node = el(
      "section",
      { class: "unproven", hidden: true, attrs: { "aria-labelledby": "unproven-heading" } },
      this.title,
      el("p", { class: "soft", text: words.why }),
      this.items,
      this.foot,
      el("div", { attrs: { role: "alert" } }, this.answer),
    );
  }

  /** Once a second; `held` is true while the server answers. */
  tick(nowMs: number, held: boolean): void {
    this.nowMs = nowMs;
    if (!held || this.asking || performance.now() < this.askAt) return;
    void this.read();
  }

  private async read(): Promise<void> {
    this.asking = true;
    this.askAt = performance.now() + REREAD_MS;
    try {
      this.show((await api.unproven()).calls);
    } catch (error) {
      // Contact that is lost is told elsewhere. What passes, as too many requests, hides no call.
      if (error instanceof Problem && (error.status === 403 || error.status === 404)) {
        this.askAt = performance.now() + REFUSED_MS;
        this.show([]);
      }
    }
    this.asking = false;
  }

  private show(calls: UnprovenCall[]): void {
    this.calls = calls;
    this.all &&= calls.length > SHOWN_MAX;
    this.draw();
    setText(this.title, words.heading(calls.length));
    if (performance.now() > this.answerEnds) setHidden(this.answer, true);
    setHidden(this.node, calls.length === 0 && this.answer.hidden === true);
    const fresh = this.known === null ? 0 : calls.filter((call) => !this.known?.has(call.n)).length;
    if (fresh > 0) this.context.news(words.say(fresh));
    this.known = new Set(calls.map((call) => call.n));
  }

  /** Shows all, or the first ones alone. */
  private turn(): void {
    this.all = !this.all;
    this.draw();
  }

  private draw(): void {
    const ranked = byRank(this.calls);
    const shown = this.all ? ranked : ranked.slice(0, SHOWN_MAX);
    this.list.show(shown);
    setText(this.more, this.all ? "" : words.more(ranked.length - shown.length));
    setText(this.allButton, this.all ? words.fewer(SHOWN_MAX) : words.all(ranked.length));
    setHidden(this.foot, ranked.length <= SHOWN_MAX);
  }

  private async raise(call: UnprovenCall): Promise<void> {
    const who = senderOf(call);
    setHidden(this.answer, true);
    if (!(await confirmRaise(who, call.test))) return;
    const by = await needPerson();
    if (by === null) return;
    try {
      const incident = await api.raiseUnproven(call.n, by);
      this.context.raised(incident, call.test ? words.drillRaised(who) : words.raised(who));
    } catch (error) {
      const gone = error instanceof Problem && error.status === 404;
      setText(this.answer, gone ? words.gone : words.failed(describe(error)));
      setHidden(this.answer, false);
      this.answerEnds = performance.now() + ANSWER_MS;
    }
    void this.read();
  }
}

/** The calls as the server ranks them: those for which there is a key first, since anybody can make up the others without an end; then those
 * under the key of another vehicle, which takes one; then the latest. */
export function byRank(calls: UnprovenCall[]): UnprovenCall[] {
  const rank = (call: UnprovenCall): number => (call.has_key ? 2 : Number(call.reason === "wrong_vehicle"));
  const order = (one: UnprovenCall, other: UnprovenCall): number =>
    rank(other) - rank(one) || Date.parse(other.last_at) - Date.parse(one.last_at);
  return [...calls].sort(order);
}

/** The one that the call says it is from. */
export function senderOf({ vehicle_id, key_id }: UnprovenCall): string {
  if (vehicle_id !== null) return words.vehicle(vehicle_id);
  return key_id === null ? words.unknown : words.key(key_id);
}

/** What is known of a call, in a line. */
export function lineOf(call: UnprovenCall, nowMs: number): string {
  const reason = words.reason[call.reason] ?? call.reason;
  const when = ago((nowMs - Date.parse(call.last_at)) / 1_000);
  const line = words.line(reason, call.address ?? words.nowhere, words.times(call.count), when);
  return call.test ? words.drill(line) : line;
}

class CallView implements View<UnprovenCall> {
  private call: UnprovenCall | null = null;
  private readonly sender = el("strong");
  private readonly about = el("span", { class: "unproven-about" });
  private readonly place = el("span", { class: "unproven-place" });
  private readonly button = el("button", { text: words.raise, attrs: { type: "button" }, on: { click: () => this.call && this.raise(this.call) } });
  readonly node = el("li", {}, el("div", {}, this.sender, this.about, this.place), this.button);

  constructor(
    private readonly raise: (call: UnprovenCall) => void,
    private readonly now: () => number,
  ) {}

  update(call: UnprovenCall): void {
    this.call = call;
    setText(this.sender, senderOf(call));
    setText(this.about, lineOf(call, this.now()));
    setText(this.place, call.lat === null || call.lon === null ? words.noPlace : words.place(place(call.lat, call.lon)));
    setAttr(this.button, "aria-label", words.raiseNamed(senderOf(call)));
    setHidden(this.button, !mayDecide(knownWho()));
  }
}

/** Asks whether it is to become an emergency. */
function confirmRaise(who: string, test: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const no = el("button", { text: words.raiseNo, attrs: { type: "button" }, on: { click: () => dialog.close() } });
    const form = el(
      "form",
      { attrs: { method: "dialog" } },
      el("h2", { id: "raise-heading", text: test ? words.drillTitle(who) : words.raiseTitle(who) }),
      el("p", { id: "raise-why", text: test ? words.drillWhy : words.raiseWhy }),
      el("div", { class: "dialog-buttons" }, no, el("button", { class: "primary", text: test ? words.drillYes : words.raiseYes, attrs: { value: "yes", type: "submit" } })),
    );
    const dialog = el("dialog", { class: "dialog", attrs: { "aria-labelledby": "raise-heading", "aria-describedby": "raise-why" } }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    // Enter alone raises nothing.
    no.focus();
  });
}
