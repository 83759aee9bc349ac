/** The bar at the top: counts, the server's time, the sound, and the person at this desk. */
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { onWho } from "../shared/session";
import { strings } from "../shared/strings";
import { localTime, utcTime } from "../shared/time";
import { running } from "./clock";
import { whoLine } from "../shared/who";
import { askPerson, onPersonChange, personName } from "./person";

const words = strings.console;

export interface Counts {
  waiting: number;
  handled: number;
  drills: number;
}

export interface SoundState {
  allowed: boolean;
  /** Time until the mute ends in ms; 0 where nothing is muted. */
  mutedFor: number;
}

export class Header {
  readonly node: HTMLElement;
  private readonly waiting = el("strong", { class: "count count-waiting" });
  private readonly handled = el("span", { class: "count" });
  private readonly drills = el("span", { class: "count count-drills" });
  private readonly local = el("span", { class: "time-local" });
  private readonly utc = el("span", { class: "time-utc" });
  private readonly mute = el("button", { attrs: { type: "button" }, on: { click: () => this.presses.mute() } });
  private readonly person = el("button", { class: "person", attrs: { type: "button" }, on: { click: () => void askPerson() } });

  constructor(private readonly presses: { mute: () => void; test: () => void }) {
    const test = el("button", { class: "test", text: words.sound.test, attrs: { type: "button" }, on: { click: () => presses.test() } });
    this.node = el(
      "header",
      { class: "bar" },
      el("div", { class: "bar-title" }, el("a", { text: words.toMap, attrs: { href: "/" } }), el("h1", { text: words.title })),
      el("div", { class: "bar-counts" }, this.waiting, this.handled, this.drills),
      el("div", { class: "bar-time" }, this.local, this.utc),
      el("div", { class: "bar-sound" }, this.mute, test),
      this.person,
      whoLine(),
    );
    this.showPerson(personName());
    onPersonChange((name) => this.showPerson(name));
    // A principal with a name of its own is not asked for another one.
    onWho((who) => setHidden(this.person, who?.by === "ignored"));
  }

  counts({ waiting, handled, drills }: Counts): void {
    setText(this.waiting, words.counts.waiting(waiting));
    setAttr(this.waiting, "data-some", waiting > 0);
    setText(this.handled, words.counts.handled(handled));
    setText(this.drills, words.counts.drills(drills));
    setHidden(this.drills, drills === 0);
    const title = words.pageTitle(waiting);
    if (document.title !== title) document.title = title;
  }

  tick(nowMs: number, sound: SoundState): void {
    setText(this.local, localTime(nowMs, nowMs));
    setText(this.utc, utcTime(nowMs, nowMs));
    const muted = sound.mutedFor > 0;
    setText(this.mute, muted ? words.sound.muted(running(sound.mutedFor + 999)) : words.sound.mute);
    setAttr(this.mute, "aria-pressed", muted ? "true" : "false");
    setHidden(this.mute, !sound.allowed);
  }

  private showPerson(name: string): void {
    setText(this.person, words.you(name));
    setAttr(this.person, "title", words.changeName);
  }
}
