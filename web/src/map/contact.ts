/** Contact with the server, in words: a bar when it is lost, what was missed when it is back. */
import { el, icon, setHidden, setText } from "../shared/dom";
import type { StreamState } from "../shared/events";
import { onSignInWanted, signInAgain } from "../shared/session";
import { strings } from "../shared/strings";
import { localTime, span } from "../shared/time";
import { icons } from "./icons";
import { add, isNothing, type Absence, type Missed } from "./missed";

const words = strings.map;
/** A connection that is back within this time, in ms, is not worth a word. */
const PATIENCE_MS = 2_000;
/** Time in ms that the events of a gap have to arrive before they are told. */
const CATCH_UP_MS = 2_000;

export interface ContactHandlers {
  /** Contact is lost: what happens from now on is missed. */
  lost(): void;
  /** Contact is back; returns what was missed. */
  back(): Missed;
}

export class Contact {
  readonly node: HTMLElement;
  private readonly text = el("p");
  private readonly action: HTMLButtonElement;
  private readonly dismiss: HTMLButtonElement;
  private streamLost: number | null = null;
  private tilesLost: number | null = null;
  /** The server answers, and refuses the vehicles. */
  private tilesRefused: number | null = null;
  private signInWanted = false;
  /** Not put away yet. */
  private absence: Absence | null = null;
  private lostSince: number | null = null;
  /** There was contact once: before, nothing can be missed. */
  private met = false;

  constructor(
    private readonly handlers: ContactHandlers,
    private readonly now: () => number = () => Date.now(),
  ) {
    this.action = el("button", {
      text: words.signIn,
      attrs: { type: "button" },
      on: { click: () => void signInAgain().then((given) => given && location.reload()) },
    });
    this.dismiss = el(
      "button",
      { class: "plain", attrs: { type: "button", "aria-label": words.close }, on: { click: () => this.forget() } },
      icon(icons.close),
    );
    this.node = el("div", { class: "contact", hidden: true, attrs: { role: "status" } }, this.text, this.action, this.dismiss);
    onSignInWanted((wanted) => {
      this.signInWanted = wanted;
      this.show();
    });
    setInterval(() => this.show(), 1_000);
  }

  get lost(): boolean {
    return this.since !== null && this.now() - this.since > PATIENCE_MS;
  }

  stream(state: StreamState): void {
    if (state.kind === "lost") this.streamLost ??= state.since;
    if (state.kind === "connected") {
      this.streamLost = null;
      this.met = true;
    }
    this.show();
  }

  /** True where what is seen of the vehicles is from earlier, although the server answers. */
  get refused(): boolean {
    return this.tilesRefused !== null && this.now() - this.tilesRefused > PATIENCE_MS;
  }

  /** `error`: what a question for the vehicles has failed with, or `null`. */
  tiles(error: unknown): void {
    const isRefused = isRefusal(error);
    this.tilesRefused = isRefused ? (this.tilesRefused ?? this.now()) : null;
    this.tilesLost = error === null || isRefused ? null : (this.tilesLost ?? this.now());
    this.show();
  }

  private turned(): void {
    const { lost, lostSince } = this;
    if (lost && lostSince === null && this.met) {
      this.lostSince = this.since;
      this.handlers.lost();
    }
    if (lost || lostSince === null || this.since !== null) return;
    this.lostSince = null;
    const away = this.now() - lostSince;
    setTimeout(() => this.back(this.handlers.back(), away), CATCH_UP_MS);
  }

  /** Tells what happened without contact, until the person has put it away. */
  private back(missed: Missed, awayMs: number): void {
    this.absence = add(this.absence, { missed, awayMs });
    this.show();
  }

  private get since(): number | null {
    const times = [this.streamLost, this.tilesLost].filter((time) => time !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  private forget(): void {
    this.absence = null;
    this.show();
  }

  private show(): void {
    this.turned();
    const { lost, since, absence, signInWanted, refused, tilesRefused } = this;
    const wrong = lost || refused || signInWanted;
    setHidden(this.node, !wrong && absence === null);
    setHidden(this.action, !signInWanted);
    setHidden(this.dismiss, wrong);
    this.node.classList.toggle("lost", wrong);
    if (signInWanted) setText(this.text, words.signInNeeded);
    else if (lost && since !== null) setText(this.text, words.lost(localTime(since)));
    else if (refused && tilesRefused !== null) setText(this.text, words.refused(localTime(tilesRefused)));
    else setText(this.text, absence === null ? "" : sentence(absence));
  }
}

/** True for an answer, of our own questions or of MapLibre's, that is a refusal: then there is contact. */
function isRefusal(error: unknown): boolean {
  return typeof error === "object" && error !== null && "status" in error && Number(error.status) > 0;
}

function sentence({ missed, awayMs }: Absence): string {
  const parts: string[] = [words.back(span(Math.max(2, awayMs / 1000)))];
  if (missed.calls.length > 0) parts.push(words.missedCalls(missed.calls.join(", ")));
  if (missed.drills.length > 0) parts.push(words.missedDrills(missed.drills.join(", ")));
  if (missed.resolved > 0) parts.push(words.missedResolved(missed.resolved));
  if (isNothing(missed)) parts.push(words.missedNone);
  return parts.join(" ");
}
