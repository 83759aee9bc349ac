/** Banners over the whole width: what a dispatcher must know before trusting the list. Each stays as long as it is true. */
import type { Targets } from "../shared/api";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { span } from "../shared/time";
import { moment } from "./clock";
import type { Contact } from "./contact";
import { KeyedList, type View } from "./keyed";
import { list } from "./words";

const words = strings.console;

/** `alarm`: the console cannot be trusted now. `warning`: something is broken. `note`: good to know. */
export type Weight = "alarm" | "warning" | "note";

export interface Banner {
  key: string;
  weight: Weight;
  text: string;
  button?: { text: string; press: () => void };
}

/** All that the banners tell of. */
export interface Situation {
  nowMs: number;
  contact: Contact;
  wasHeard: boolean;
  signInWanted: boolean;
  /** Name of a principal who may not see emergencies, or `null`. */
  blind: string | null;
  /** Time since when the stream is down, or `null`. */
  streamLost: number | null;
  sound: "on" | "blocked" | "missing";
  /** `null` before the server has told. */
  targets: Targets | null;
  /** Number of new emergencies while there is a crowd, else 0. */
  crowd: number;
  /** What happened while contact was lost, until it is dismissed. */
  missed: string | null;
}

export interface Presses {
  signIn: () => void;
  sound: () => void;
  missed: () => void;
}

/** A stream that comes back within this time is no news. */
const STREAM_AFTER_MS = 5_000;

/** From the most to the least pressing. */
const WEIGHTS: Weight[] = ["alarm", "warning", "note"];
/** Banners that a phone shows whatever they are; beyond, it shows alarms alone until the person asks for the rest. */
export const PHONE_MAX = 2;

/** Lists the banners that are true now, the most pressing first. */
export function bannersFor(now: Situation, press: Presses): Banner[] {
  const all = [
    ...contactBanners(now, press),
    ...soundBanners(now, press),
    ...targetBanners(now),
    ...warningBanners(now),
    ...newsBanners(now, press),
  ];
  return all.sort((one, other) => WEIGHTS.indexOf(one.weight) - WEIGHTS.indexOf(other.weight));
}

/** Number of banners that a phone leaves out at first, so that they leave room for what they speak of. */
export function phoneLeavesOut(banners: Banner[]): number {
  return banners.slice(PHONE_MAX).filter((one) => one.weight !== "alarm").length;
}

function contactBanners(now: Situation, press: Presses): Banner[] {
  if (now.signInWanted) {
    return [{ key: "sign-in", weight: "alarm", text: words.banner.signIn, button: { text: words.banner.signInGo, press: press.signIn } }];
  }
  if (now.blind !== null) return [{ key: "blind", weight: "alarm", text: words.banner.notForYou(now.blind) }];
  if (now.contact.kind === "lost") {
    const { since } = now.contact;
    const away = span((now.nowMs - since) / 1_000);
    const text = now.wasHeard ? words.banner.lost(away, moment(since, now.nowMs)) : words.banner.lostNever(away);
    return [{ key: "lost", weight: "alarm", text }];
  }
  if (now.streamLost === null || now.nowMs - now.streamLost < STREAM_AFTER_MS) return [];
  return [{ key: "stream", weight: "warning", text: words.banner.stream(span((now.nowMs - now.streamLost) / 1_000)) }];
}

function soundBanners(now: Situation, press: Presses): Banner[] {
  if (now.sound === "on") return [];
  if (now.sound === "missing") return [{ key: "sound", weight: "warning", text: words.sound.missing }];
  return [{ key: "sound", weight: "warning", text: words.sound.blocked, button: { text: words.sound.allow, press: press.sound } }];
}

function targetBanners({ targets, nowMs }: Situation): Banner[] {
  if (!targets) return [];
  if (targets.targets.length === 0) return [{ key: "no-target", weight: "warning", text: words.banner.noTarget }];
  const silent = targets.targets.filter((one) => !one.up);
  if (silent.length === targets.targets.length) {
    const since = Math.max(...silent.map((one) => Date.parse(one.since)));
    const names = list(silent.map((one) => `“${one.name}”`));
    return [{ key: "all-silent", weight: "alarm", text: words.banner.allSilent(names, moment(since, nowMs)) }];
  }
  return silent.map((one) => ({
    key: `silent ${one.name}`,
    weight: "warning",
    text: words.banner.silent(one.name, moment(one.since, nowMs)),
  }));
}

function warningBanners({ targets, nowMs }: Situation): Banner[] {
  if (!targets) return [];
  const banners: Banner[] = Object.entries(targets.warnings ?? {})
    // Told above in words of its own.
    .filter(([subject]) => subject !== "emergency target")
    .map(([subject, text]) => ({ key: `warning ${subject}`, weight: "warning", text: words.banner.warning(subject, text) }));
  if (targets.drill && !targets.drill.up) {
    const { name, since } = targets.drill;
    banners.push({ key: "drill-silent", weight: "note", text: words.banner.drillSilent(name, moment(since, nowMs)) });
  }
  return banners;
}

function newsBanners(now: Situation, press: Presses): Banner[] {
  const banners: Banner[] = [];
  if (now.missed !== null) {
    banners.push({ key: "missed", weight: "note", text: now.missed, button: { text: words.banner.dismiss, press: press.missed } });
  }
  if (now.crowd > 0) banners.push({ key: "crowd", weight: "note", text: words.banner.crowd(now.crowd) });
  return banners;
}

export class Banners {
  readonly node: HTMLElement;
  private readonly items = el("div");
  /** Only on a phone. */
  private readonly more = el("button", { class: "banners-more", hidden: true, attrs: { type: "button" }, on: { click: () => this.turn() } });
  private all = false;
  private leftOut = 0;
  private readonly list = new KeyedList<Banner>(
    this.items,
    (banner) => banner.key,
    () => new BannerView(),
  );
  private known = new Set<string>();

  /** `announce` is called once for each banner that is new. */
  constructor(private readonly announce: (banner: Banner) => void) {
    this.node = el("div", { class: "banners", attrs: { role: "region", "aria-label": words.banner.label } }, this.items, this.more);
  }

  show(banners: Banner[]): void {
    setHidden(this.node, banners.length === 0);
    this.list.show(banners);
    this.leftOut = phoneLeavesOut(banners);
    this.all &&= this.leftOut > 0;
    this.showMore();
    for (const banner of banners) if (!this.known.has(banner.key)) this.announce(banner);
    this.known = new Set(banners.map((banner) => banner.key));
  }

  private turn(): void {
    this.all = !this.all;
    this.showMore();
  }

  private showMore(): void {
    setAttr(this.node, "data-all", this.all);
    setAttr(this.more, "aria-expanded", this.all ? "true" : "false");
    setText(this.more, this.all ? words.banner.fewer : words.banner.more(this.leftOut));
    setHidden(this.more, this.leftOut === 0);
  }
}

class BannerView implements View<Banner> {
  private press: () => void = () => {};
  private readonly text = el("p");
  private readonly button = el("button", { hidden: true, attrs: { type: "button" }, on: { click: () => this.press() } });
  readonly node = el("div", { class: "banner" }, el("span", { class: "banner-sign", attrs: { "aria-hidden": "true" } }), this.text, this.button);

  update(banner: Banner): void {
    setAttr(this.node, "data-weight", banner.weight);
    setAttr(this.node, "data-key", banner.key);
    setText(this.text, banner.text);
    setHidden(this.button, banner.button === undefined);
    setText(this.button, banner.button?.text ?? "");
    this.press = banner.button?.press ?? this.press;
  }
}
